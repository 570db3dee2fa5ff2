"""Risk control of a served model: keywords flag a dialogue, a reviewer decides, what is retracted (paper D.3.1)."""
