// Shared by all shaders: value noise and the way from linear light to the screen.
float hash3(vec3 p) {  // without sines, which cost much where there is no GPU
    p = fract(p * 0.1031);
    p += dot(p, p.zyx + 31.32);
    return fract((p.x + p.y) * p.z);
}
float hash(vec2 p) { return hash3(p.xyx); }
float noise(vec2 p) {
    vec2 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(hash(i), hash(i + vec2(1, 0)), f.x), mix(hash(i + vec2(0, 1)), hash(i + vec2(1, 1)), f.x), f.y);
}
float noise3(vec3 p) {
    vec3 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    vec4 low = vec4(hash3(i), hash3(i + vec3(1, 0, 0)), hash3(i + vec3(0, 1, 0)), hash3(i + vec3(1, 1, 0)));
    i.z += 1.0;
    vec4 high = vec4(hash3(i), hash3(i + vec3(1, 0, 0)), hash3(i + vec3(0, 1, 0)), hash3(i + vec3(1, 1, 0)));
    vec4 c = mix(low, high, f.z);
    return mix(mix(c.x, c.y, f.x), mix(c.z, c.w, f.x), f.y);
}
float fractal(vec2 p) { return 0.5 * noise(p) + 0.3 * noise(p * 2.3 + 5.0) + 0.2 * noise(p * 5.1 + 9.0); }
vec3 to_screen(vec3 c) { return pow(clamp(c / (1.0 + 0.12 * c), 0.0, 1.0), vec3(1.0 / 2.2)); }
