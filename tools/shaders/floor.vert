uniform mat4 view_projection;
in vec2 corner;
out vec2 v_floor;
void main() { v_floor = corner; gl_Position = view_projection * vec4(corner, 0.0, 1.0); }
