"""Tools for files of prompts: inspect, convert, deduplicate, decontaminate, count, rate, make tests."""
