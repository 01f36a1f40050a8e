"""Videos: animations, stories and restyled videos, with camera motion and optical flow."""
