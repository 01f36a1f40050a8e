"""Videos: animations, stories and restyled videos; camera and optical flow."""
