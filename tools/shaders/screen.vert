in vec2 corner;
out vec2 v_at;
void main() { v_at = corner; gl_Position = vec4(corner, 0.9999, 1.0); }
