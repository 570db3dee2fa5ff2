"""Running suites: a model or an endpoint answers, the answers are graded and kept, figures are made of them."""
