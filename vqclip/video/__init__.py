"""Videos: animations, stories and restyled clips; camera and optical flow."""
