"""A question's way: parse, plan, bound, price, kernel, release; `answer.py` reads like the line in STEPS."""
