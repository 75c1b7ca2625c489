// Shadow map of the light: only what the person's fragments would not discard needs to be about right.
uniform float sleeve; uniform float trouser_hem; uniform float shirt_hem; uniform float hair_length;
in vec3 v_place; in vec3 v_normal; in vec3 v_rest; flat in int v_material; in float v_arm; in float v_hair;
void main() {
    bool arm = v_arm > 0.05;
    if (v_material == 1 && (arm ? v_arm > sleeve : v_rest.z < shirt_hem)) discard;
    if (v_material == 2 && (arm || v_rest.z < trouser_hem)) discard;
    if (v_material == 5 && v_hair < 0.0) discard;
    if (v_material == 6 && v_rest.z < hair_length) discard;
}
