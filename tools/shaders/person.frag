// What is cloth, skin, hair or shoe is decided by the point's place on the resting body, so edges are crisp.
uniform vec3 eye; uniform vec3 light; uniform vec3 sun; uniform vec3 sky_light; uniform vec3 ground_light;
uniform mat4 light_projection; uniform sampler2DShadow shadow_map; uniform float shadow_texel;
uniform vec3 skin; uniform vec3 hair; uniform vec3 shirt; uniform vec3 shirt_2; uniform vec3 trousers;
uniform vec3 shoes; uniform vec3 sole; uniform vec3 iris;
uniform int pattern; uniform float pattern_scale; uniform float folds; uniform float stubble;
uniform float sleeve; uniform float shirt_hem; uniform float trouser_hem; uniform float neckline; uniform float hair_length;
uniform float shoe_top; uniform float sole_top; uniform vec3 eye_centre; uniform vec3 mouth; uniform vec3 neck;
in vec3 v_place; in vec3 v_normal; in vec3 v_rest; flat in int v_material; in float v_arm; in float v_hair;
out vec4 pixel;

const int SKIN = 0, SHIRT = 1, TROUSERS = 2, SHOE = 3, EYE = 4, HAIR_CAP = 5, HAIR_LONG = 6;

float hairline(vec3 p) { return v_hair + 0.006 * (noise3(p * vec3(260, 260, 60)) - 0.5); }
float neck_gap(vec3 p) {  // negative inside the neck opening
    return length((p - neck) * vec3(0.80, 0.9, 1.0)) - neckline;
}
float cover(float edge) { return clamp(0.5 + edge / max(fwidth(edge), 1e-6), 0.0, 1.0); }
bool on_arm() { return v_arm > 0.05; }

float lit(vec3 n) {
    vec4 l = light_projection * vec4(v_place + n * 0.012, 1.0);
    vec3 at = l.xyz * 0.5 + 0.5;
    if (any(lessThan(at, vec3(0))) || any(greaterThan(at, vec3(1)))) return 1.0;
    at.z -= 0.002;
    float s = 0.0, r = 1.4 * shadow_texel;
    s += texture(shadow_map, at + vec3(-r, -0.4 * r, 0)) + texture(shadow_map, at + vec3(0.4 * r, -r, 0));
    s += texture(shadow_map, at + vec3(r, 0.4 * r, 0)) + texture(shadow_map, at + vec3(-0.4 * r, r, 0));
    return s / 4.0;
}

vec3 skin_colour(vec3 p, out float gloss) {
    gloss = 0.12;
    vec3 q = p - eye_centre * vec3(0, 1, 1);
    vec3 c = skin * (0.93 + 0.14 * noise3(p * 60.0));
    if (q.z < -0.10 || q.y > 0.09) return c;
    float side = abs(q.x);
    float front = smoothstep(0.055, 0.03, q.y);
    c = mix(c, c * vec3(1.08, 0.84, 0.80), 0.6 * front * exp(-dot((vec2(side, q.z) - vec2(0.042, -0.045)) * 38.0, (vec2(side, q.z) - vec2(0.042, -0.045)) * 38.0)));
    float jaw = smoothstep(-0.035, -0.06, q.z) * smoothstep(0.08, 0.05, q.y) * smoothstep(-0.16, -0.12, q.z);
    c = mix(c, hair * 0.6 + c * 0.25, stubble * jaw * (0.6 + 0.8 * noise3(p * 700.0)));
    float brow_z = 0.0205 + 0.004 * smoothstep(0.012, 0.036, side) - 0.006 * smoothstep(0.04, 0.056, side);
    float brow = smoothstep(0.0045, 0.0025, abs(q.z - brow_z)) * smoothstep(0.011, 0.015, side) * smoothstep(0.058, 0.050, side);
    c = mix(c, hair * 0.8, 0.85 * brow * front);
    vec2 m = vec2(q.x, p.z - mouth.z + 0.026);
    float lips = smoothstep(1.15, 0.9, length(m / vec2(0.025, 0.0085))) * smoothstep(0.03, 0.01, q.y);
    c = mix(c, skin * vec3(0.80, 0.42, 0.40), 0.75 * lips);
    c *= 1.0 - 0.6 * smoothstep(0.0016, 0.0006, abs(m.y)) * smoothstep(0.024, 0.018, side) * step(q.y, 0.02);
    float lid = length(vec2(side - eye_centre.x, q.z) / vec2(0.019, 0.013));  // darker about the eyes
    c *= 1.0 - 0.30 * smoothstep(1.5, 0.8, lid) * front;
    return c;
}

vec3 shirt_colour(vec3 p) {
    float s = pattern_scale;
    if (pattern == 1) return mix(shirt, shirt_2, step(0.5, fract(p.z / s)));
    if (pattern == 2) return mix(shirt, shirt_2, 0.5 * step(0.5, fract(p.z / s)) + 0.5 * step(0.5, fract(p.x / s)));
    if (pattern == 3) return mix(shirt, shirt_2, step(0.30, p.z) * step(p.z, 0.30 + 1.5 * s));
    if (pattern == 4) return mix(shirt, shirt_2, step(length((p.xz - vec2(0.0, 0.36)) * vec2(1.0, 0.9)), 0.075) * step(p.y, 0.0));
    return shirt;
}

void main() {
    vec3 p = v_rest, n = normalize(v_normal), view = normalize(eye - v_place);
    float alpha = 1.0, gloss = 0.05, wrap = 0.0;
    vec3 c;
    if (!gl_FrontFacing) {  // only clothes and hair are seen from within
        if (v_material == SHIRT && (on_arm() ? v_arm < sleeve : p.z > shirt_hem && neck_gap(p) > 0.0)) c = shirt;
        else if (v_material == TROUSERS && !on_arm() && p.z < shirt_hem + 0.06 && p.z > trouser_hem) c = trousers;
        else if (v_material == HAIR_LONG && p.z > hair_length && p.y > eye_centre.y + 0.05) c = hair;
        else discard;
        pixel = vec4(to_screen(0.35 * c * sky_light), 1.0);
        return;
    }
    if (v_material == SKIN) {
        bool under = on_arm() ? v_arm < sleeve - 0.035
                   : (p.z < shirt_hem + 0.04 ? p.z > trouser_hem + 0.02 : p.z < neck.z - 0.03 && neck_gap(p) > 0.02);
        if (under || p.z < shoe_top - 0.012) discard;
        c = skin_colour(p, gloss);
        if (p.z > eye_centre.z - 0.09) c = mix(c, hair * 0.7, smoothstep(-0.004, 0.004, hairline(p)));
        else if (p.z < shoe_top + 0.05) c = mix(c, vec3(0.75), step(0.5, fract(shoes.x * 7.0)));  // socks
        wrap = 0.18;
    } else if (v_material == SHIRT) {
        alpha = on_arm() ? cover(sleeve - v_arm) : min(cover(p.z - shirt_hem), cover(neck_gap(p)));
        c = shirt_colour(p);
        float hem = on_arm() ? (sleeve - v_arm) * 0.5 : min(p.z - shirt_hem, neck_gap(p));
        c *= 1.0 - 0.25 * smoothstep(0.0035, 0.0025, abs(hem - 0.018)) ;
    } else if (v_material == TROUSERS) {
        if (on_arm() || p.z > shirt_hem + 0.06) discard;
        alpha = cover(p.z - trouser_hem);
        c = trousers * (0.9 + 0.2 * noise3(p * 400.0));
        c *= 1.0 - 0.25 * smoothstep(0.003, 0.002, abs(p.z - trouser_hem - 0.02));
    } else if (v_material == SHOE) {
        c = p.z < sole_top ? sole : shoes;
        c *= 1.0 - 0.35 * smoothstep(0.004, 0.002, abs(p.z - sole_top));
        gloss = 0.15;
    } else if (v_material == EYE) {
        float r = length(vec2(abs(p.x), p.z) - eye_centre.xz);
        c = mix(vec3(0.80, 0.78, 0.76), iris, smoothstep(0.0068, 0.0060, r));
        c = mix(c, vec3(0.01), smoothstep(0.0034, 0.0028, r));
        gloss = 0.5;
    } else {
        float h = hairline(p);
        if (v_material == HAIR_CAP) alpha = cover(h);
        else {
            if (p.z < hair_length + 0.02 * noise3(p * 120.0)) discard;
            vec3 q = p - eye_centre * vec3(0, 1, 1);
            if (q.y < 0.05 && h < 0.0) discard;
        }
        c = hair * (0.6 + 0.8 * noise3(p * vec3(420, 420, 45)));
        vec3 q = p * vec3(300, 300, 40);
        n = normalize(n + 0.5 * vec3(noise3(q) - 0.5, noise3(q + 7.0) - 0.5, 0.0));
        gloss = 0.12;
    }
    if (alpha < 0.02) discard;
    if (v_material == SHIRT || v_material == TROUSERS) {  // hint at folds
        vec3 q = p * vec3(16.0, 16.0, 11.0);
        float f = noise3(q);
        n = normalize(n + folds * (vec3(noise3(q + vec3(0.25, 0, 0)), noise3(q + vec3(0, 0.25, 0)), noise3(q + vec3(0, 0, 0.25))) - f) * 4.0);
    }
    float facing = dot(n, -light);
    float shade = facing > -wrap ? lit(normalize(v_normal)) : 0.0;
    vec3 direct = sun * shade * max((facing + wrap) / (1.0 + wrap), 0.0);
    float rim = pow(1.0 - max(dot(n, view), 0.0), 3.0);
    vec3 around = mix(ground_light, sky_light, 0.5 + 0.5 * n.z) * (0.82 + 0.18 * dot(n, view));
    vec3 shine = gloss * (sun * shade * pow(max(dot(n, normalize(view - light)), 0.0), 22.0) + 0.5 * sky_light * rim);
    pixel = vec4(to_screen(c * (around + direct) + 0.5 * shine), alpha);
}
