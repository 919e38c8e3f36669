"""Says what Python Trio does with programs: oracle.py REFERENCE.PY < programs.jsonl

Answers each line with one line: {"trace", "errors"}, or null for a program that says nothing about semantics, since
its outcome depends on the schedule, or which is misuse, or never ends.
"""
import json, runpy, signal, sys
import trio

# Trio at most reverses the tasks that are about to run, so that an outcome can be the same under all its seeds and
# still depend on the schedule, when three tasks or more meet. With this, which is there for tests, it shuffles them.
trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True

# `run` gives up on a program after two seconds, of which a minimiser tries many. They take milliseconds, unless they
# never end.
setitimer = signal.setitimer
signal.setitimer = lambda which, seconds: setitimer(which, seconds / 5)

reference = sys.argv[1]
sys.argv = [reference, "only import it"]  # its commands are others, so this one does nothing
run = runpy.run_path(reference)["run"]

for line in sys.stdin:
    program = json.loads(line)
    try:
        answer = run(program, 0)
        if any(run(program, seed) != answer for seed in range(1, 32)):
            answer = None
    except Exception:
        answer = None
    print(json.dumps(answer), flush=True)
