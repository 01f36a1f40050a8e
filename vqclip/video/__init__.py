"""Videos: animations, stories, restyled clips, camera, optical flow."""
