"""
Run commands in forks of a process that has imported everything.

A fork costs hundredths of a second where an interpreter with torch costs many seconds,
and each has limits of its own. One request in each line of the input, one answer in
each line of the output, both JSON.
"""

import json
import os
import resource
import signal
import sys


SECONDS = 60


def serve():
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(**request)
        _, status, used = os.wait4(child, 0)
        answer = {
            "status": os.waitstatus_to_exitcode(status),
            "memory": used.ru_maxrss * 1024,
        }
        print(json.dumps(answer), file=ANSWERS, flush=True)


def _run(arguments, folder, memory):
    """Be the command; never returns."""
    code = 70
    try:
        os.chdir(folder)
        for number, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
            flags = (
                os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            )
            os.dup2(os.open(name, flags, 0o600), number)
        with open("/proc/self/statm") as file:
            present = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (present + memory,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        signal.alarm(5 * SECONDS)  # also ends what waits
        main(arguments)
        code = 0
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        code = error.code if isinstance(error.code, int) else error.code is not None
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        try:
            sys.stdout.flush()
        except ValueError:
            code = 71
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    # What the imports print does not belong among the answers.
    ANSWERS = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import warnings

    import numba  # noqa: F401
    import pyfive  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import metatrain.cli.train  # noqa: F401

        import metatrain_dos.figures.report
        import metatrain_dos.models.predict  # noqa: F401
        from metatrain_dos.commands.main import main
    serve()
