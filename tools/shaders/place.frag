// An empty place, ray by ray: floor, and either a room about the scene or hills, houses and sky.
uniform mat3 to_world; uniform vec3 eye; uniform vec2 size; uniform vec2 centre; uniform float focal;
uniform vec3 light; uniform vec3 sun; uniform vec3 sky_light;
uniform int room; uniform vec3 room_low; uniform vec3 room_high; uniform float turn;
uniform int floor_kind; uniform vec3 floor_a; uniform vec3 floor_b; uniform float tile;
uniform vec3 wall; uniform vec3 wall_2; uniform vec3 haze; uniform vec3 sky; uniform vec3 trees; uniform float seed; uniform int samples;
in vec2 v_at; out vec4 pixel;

vec2 turned(vec2 p) { return vec2(cos(turn) * p.x + sin(turn) * p.y, -sin(turn) * p.x + cos(turn) * p.y); }

vec3 floor_colour(vec2 p, float away) {
    float grain = fractal(p * 3.0);
    if (floor_kind == 0) {  // tiles
        vec2 q = p / tile, edge = abs(fract(q) - 0.5);
        float joint = smoothstep(0.475, 0.488, max(edge.x, edge.y)) * exp(-0.08 * away);
        return mix(floor_a, floor_b, 0.4 * hash(floor(q)) + 0.6 * grain) * (1.0 - 0.45 * joint);
    }
    if (floor_kind == 1) {  // planks
        float row = floor(p.x / (0.25 * tile));
        vec2 q = vec2(fract(p.x / (0.25 * tile)), p.y / (2.5 * tile) + hash(vec2(row, seed)));
        float gap = max(smoothstep(0.47, 0.49, abs(q.x - 0.5)), smoothstep(0.493, 0.498, abs(fract(q.y) - 0.5)));
        float veins = noise(vec2(p.x * 60.0 + 3.0 * noise(p * 2.0), p.y * 3.0 + row * 7.0));
        return mix(floor_a, floor_b, 0.5 * hash(vec2(row, floor(q.y))) + 0.5 * veins) * (1.0 - 0.5 * gap * exp(-0.1 * away));
    }
    if (floor_kind == 2) {  // asphalt, carpet, sand
        float fine = mix(0.5, hash(floor(p * 160.0)), exp(-0.3 * away));
        return mix(floor_a, floor_b, 0.6 * grain + 0.4 * fine);
    }
    float blades = mix(0.5, noise(p * vec2(130.0, 60.0)), exp(-0.15 * away));  // grass
    return mix(floor_a, floor_b, 0.45 * blades + 0.55 * fractal(p * 0.9)) * (0.75 + 0.4 * blades);
}

vec3 wall_colour(float along, float z, vec3 normal) {
    vec3 c = wall * (0.96 + 0.08 * fractal(vec2(along, z) * 2.0));
    float cell = floor(along / 2.6), x = along - 2.6 * cell - 1.3, r = hash(vec2(cell, seed + normal.x * 3.0));
    if (r < 0.30) {  // window
        vec2 e = vec2(abs(x), abs(z - 1.55)) - vec2(0.55, 0.65);
        float d = max(e.x, e.y);
        if (d < 0.0) c = mix(haze, sky, smoothstep(0.9, 2.2, z)) * 1.15;
        if (d < 0.06 && (d > 0.0 || abs(x) < 0.025 || abs(z - 1.55) < 0.025)) c = vec3(0.75);
    } else if (r < 0.55) {  // picture
        vec2 e = vec2(abs(x), abs(z - 1.6)) - vec2(0.25 + 0.3 * fract(r * 37.0), 0.25 + 0.2 * fract(r * 91.0));
        float d = max(e.x, e.y);
        if (d < 0.04) c = vec3(0.08);
        if (d < 0.0) c = mix(wall_2, floor_b, fractal(vec2(x, z) * 4.0 + r * 50.0)) ;
    } else if (r < 0.70) {  // cupboard
        vec2 e = vec2(abs(x), z - 1.1) - vec2(0.6, 0.8);
        if (max(e.x, e.y) < 0.0) c = wall_2 * (abs(x) < 0.008 || max(e.x, e.y) > -0.02 ? 0.5 : 1.0);
    } else if (r < 0.78) {  // door
        vec2 e = vec2(abs(x), z) - vec2(0.45, 2.05);
        if (max(e.x, e.y) < 0.06) c = vec3(0.6);
        if (max(e.x, e.y) < 0.0) c = mix(wall_2, vec3(0.5), 0.4);
    }
    if (z < 0.09) c = vec3(0.55) * (z > 0.082 ? 0.6 : 1.0);
    c *= 0.62 + 0.38 * smoothstep(0.0, 0.5, z);
    return c;
}

vec3 see(vec2 at) {
    vec3 d = normalize(to_world * vec3((at - centre) / focal, 1.0));
    vec3 on_floor = sky_light + sun * max(-light.z, 0.0);
    float down = d.z < -1e-4 ? -eye.z / d.z : 1e9;
    if (room == 1) {
        vec2 e = turned(eye.xy), g = turned(d.xy);
        vec2 reach = vec2(g.x > 0.0 ? room_high.x - e.x : room_low.x - e.x, g.y > 0.0 ? room_high.y - e.y : room_low.y - e.y);
        vec2 t = abs(reach) / max(abs(g), vec2(1e-6));
        float side = min(t.x, t.y), up = d.z > 1e-4 ? (room_high.z - eye.z) / d.z : 1e9;
        if (down < side && down < up) {
            vec2 p = e + down * g;
            vec2 edge = min(p - room_low.xy, room_high.xy - p);
            return floor_colour(p, down) * on_floor * (0.6 + 0.4 * smoothstep(0.0, 0.8, min(edge.x, edge.y)));
        }
        if (up < side) return vec3(0.72) * (sky_light + 0.25 * sun);
        vec3 p = vec3(e + side * g, eye.z + side * d.z);
        bool x_wall = t.x < t.y;
        vec3 n = x_wall ? vec3(-sign(g.x), 0, 0) : vec3(0, -sign(g.y), 0);
        vec2 l = turned(light.xy);
        float facing = max(-dot(n.xy, l), 0.0);
        float corner = x_wall ? min(p.y - room_low.y, room_high.y - p.y) : min(p.x - room_low.x, room_high.x - p.x);
        return wall_colour(x_wall ? p.y : p.x, p.z, n) * (sky_light + sun * (0.25 + 0.6 * facing)) * (0.7 + 0.3 * smoothstep(0.0, 0.7, corner));
    }
    if (down < 400.0) {
        vec2 p = turned(eye.xy + down * d.xy);
        return mix(floor_colour(p, down) * on_floor, haze, 1.0 - exp(-0.012 * down));
    }
    float a = atan(d.x, d.y) * 3.0;
    float ridge = 0.03 + 0.05 * fractal(vec2(a * 1.5 + seed, seed));
    float tops = 0.02 + 0.05 * noise(vec2(a * 6.0, seed)) + 0.02 * noise(vec2(a * 30.0, seed)) + 0.006 * noise(vec2(a * 110.0, seed));
    float block = floor(a * 6.0), house = 0.03 + 0.12 * hash(vec2(block, seed)) * step(0.4, hash(vec2(block, seed + 3.0)));
    float city = step(0.5, fract(seed * 0.37));
    if (city > 0.5 && d.z < house) {
        vec2 w = fract(vec2(a * 30.0, d.z * 55.0)) - 0.5;
        float pane = step(abs(w.x), 0.28) * step(abs(w.y), 0.3);
        vec3 c = wall * (0.6 + 0.5 * hash(vec2(block, 7.0)));
        return mix(mix(c, c * 0.35 + 0.1 * sky, pane), haze, 0.25);
    }
    if (city < 0.5 && d.z < tops) return mix(trees * (0.5 + 0.7 * noise(vec2(a * 90.0, d.z * 260.0))), haze, 0.15);
    if (d.z < ridge) return mix(trees, haze, 0.6);
    vec2 q = d.xy / (d.z + 0.12);
    float cloud = smoothstep(0.5, 0.75, fractal(q * 0.9 + seed)) * smoothstep(0.02, 0.2, d.z);
    return mix(mix(haze, sky, smoothstep(0.0, 0.5, d.z)), vec3(0.95), 0.8 * cloud);
}

void main() {
    vec2 at = (v_at * vec2(0.5, -0.5) + 0.5) * size;
    vec3 sum = vec3(0);
    for (int i = 0; i < samples; i++) {  // a grid turned a little smooths level and upright edges best
        vec2 q = (vec2(float(i % 2), float(i / 2)) - 0.5) * 0.5;
        sum += to_screen(see(at + vec2(0.9 * q.x - 0.4 * q.y, 0.4 * q.x + 0.9 * q.y)));
    }
    pixel = vec4(sum / float(samples), 1.0);
}
