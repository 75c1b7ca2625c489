// Linear blend skinning; `bones` holds the three rows of each bone's affine transform of rest points.
uniform mat4 view_projection;
uniform vec4 bones[96];
in vec3 rest; in vec3 rest_normal; in vec4 influences; in vec4 weights; in float material; in float along_arm; in float hairline;
out vec3 v_place; out vec3 v_normal; out vec3 v_rest; flat out int v_material; out float v_arm; out float v_hair;
void main() {
    vec4 x = vec4(0), y = vec4(0), z = vec4(0);
    for (int i = 0; i < 4; i++) {
        int b = 3 * int(influences[i] + 0.5);
        x += weights[i] * bones[b];
        y += weights[i] * bones[b + 1];
        z += weights[i] * bones[b + 2];
    }
    vec4 p = vec4(rest, 1.0);
    v_place = vec3(dot(x, p), dot(y, p), dot(z, p));
    v_normal = vec3(dot(x.xyz, rest_normal), dot(y.xyz, rest_normal), dot(z.xyz, rest_normal));
    v_rest = rest; v_material = int(material + 0.5); v_arm = along_arm; v_hair = hairline;
    gl_Position = view_projection * vec4(v_place, 1.0);
}
