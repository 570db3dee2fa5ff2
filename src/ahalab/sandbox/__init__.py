"""Running untrusted programs: the one place of this project where model output becomes code."""
