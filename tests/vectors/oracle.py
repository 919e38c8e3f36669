"""Says what Python Trio does with programs: oracle.py REFERENCE.PY < programs.jsonl

Answers each line with one line: {"trace", "errors"}, or null for a program that says nothing about semantics, since
its outcome depends on the schedule, or which is misuse, or never ends.
"""
import json, runpy, signal, sys

reference = sys.argv[1]
sys.argv = [reference, "only import it"]  # its commands are others, so this one does nothing
reference = runpy.run_path(reference)

# `run` gives up on a program after two seconds, of which a minimiser tries many. They take milliseconds, unless they
# never end.
setitimer = signal.setitimer
signal.setitimer = lambda which, seconds: setitimer(which, seconds / 5)

run, schedules = reference["run"], reference["SCHEDULES"]

for line in sys.stdin:
    program = json.loads(line)
    try:
        answer = run(program, 0)
        if any(run(program, seed) != answer for seed in range(1, schedules)):
            answer = None
    except Exception:
        answer = None
    print(json.dumps(answer), flush=True)
