// The floor again, for its depth and for what the person takes away of its light.
uniform sampler2D background; uniform mat4 light_projection; uniform sampler2DShadow shadow_map;
uniform float blur; uniform float sun_share; uniform vec4 near_floor[3];
in vec2 v_floor;
out vec4 pixel;
void main() {
    vec3 c = texelFetch(background, ivec2(gl_FragCoord.xy), 0).rgb;
    vec4 l = light_projection * vec4(v_floor, 0.0, 1.0);
    vec3 at = l.xyz * 0.5 + 0.5;
    float s = 1.0;
    if (all(greaterThan(at.xy, vec2(0))) && all(lessThan(at.xy, vec2(1)))) {
        at.z = min(at.z, 1.0) - 0.003;
        s = 0.0;
        float turn = 6.2832 * fract(sin(dot(gl_FragCoord.xy, vec2(12.9898, 78.233))) * 43758.5453);
        for (int i = 0; i < 8; i++) {
            float a = 2.399963 * float(i) + 0.35 * turn, r = blur * sqrt((float(i) + 0.5) / 8.0);
            s += texture(shadow_map, at + vec3(r * cos(a), r * sin(a), 0));
        }
        s /= 8.0;
    }
    float open = 1.0;  // share of the sky that the body leaves free
    for (int i = 0; i < 3; i++) {
        vec2 d = v_floor - near_floor[i].xy;
        open *= 1.0 - near_floor[i].w * exp(-dot(d, d) / (near_floor[i].z * near_floor[i].z));
    }
    float light = sun_share * s + (1.0 - sun_share) * open;
    pixel = vec4(c * pow(light, 1.0 / 2.2), 1.0);
}
