uniform sampler2D background;
in vec2 v_at;
out vec4 pixel;
void main() { pixel = texelFetch(background, ivec2(gl_FragCoord.xy), 0); }
