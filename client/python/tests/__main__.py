"""Runs the tests of a module, and says in TAP how they went: `python3 -m tests <module>`."""

import sys
import time
import unittest


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.count = 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def tell(self, ok, test, note="", problem=None):
        self.count += 1
        title = test.shortDescription() or test.id()
        print(f"{'ok' if ok else 'not ok'} {self.count} - {title.replace('#', '')}{note}")
        if problem:
            lines = "".join(f"    {line}\n" for line in problem.splitlines())
            print(f"  ---\n  problem: |\n{lines}  ...")
        sys.stdout.flush()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.tell(True, test, f" # time={(time.monotonic() - self.began) * 1000:.0f}ms")

    def addError(self, test, err):
        super().addError(test, err)
        self.tell(False, test, problem=self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.tell(False, test, problem=self.failures[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(True, test, f" # SKIP {reason}")


suite = unittest.defaultTestLoader.loadTestsFromName(f"tests.{sys.argv[1]}")
result = TapResult()
print("TAP version 14")
suite.run(result)
print(f"1..{result.count}")
sys.exit(0 if result.wasSuccessful() and result.count > 0 else 1)
