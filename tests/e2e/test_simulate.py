"""The simulated relay as a command: what it takes, what it refuses, and how it speaks HTTP with any client."""

from __future__ import annotations

import unittest

from support import Case, Run


class Flags(Case):
    def refused(self, *flags: str) -> Run:
        port = () if flags[0].startswith("--port") else ("--port", "0")
        run = self.sluice("simulate", *port, *flags, expect=2)
        self.assertNotIn("simulated relay:", run.err)
        return run

    def test_an_empty_value_is_no_value(self) -> None:
        """As in --balance "$BUDGET" with a variable that is not set: it must not mean that nothing is limited."""
        for flag, wanted in (("--balance", "US dollars"), ("--keys", "one key a line"), ("--rpm", "requests a minute"),
                             ("--port", "65535"), ("--seed", "number"), ("--tokens", "1000000"), ("--mode", "sliding"),
                             ("--ttft", "250ms"), ("--itl", "250ms"), ("--faults", "none")):
            with self.subTest(flag):
                self.assert_one_sentence(self.refused(flag, ""), flag, wanted)
                self.assert_one_sentence(self.refused(f"{flag}="), flag)

    def test_a_refusal_says_what_is_wanted(self) -> None:
        for flag, value, wanted in (
                ("--port", "abc", "a port from 0 (any free one) to 65535"), ("--port", "65536", "to 65535"),
                ("--rpm", "-1", "0 for no limit"), ("--rpm", "2.5", "0 for no limit"),
                ("--seed", "-1", "from 0 to 18446744073709551615"), ("--seed", "0x", "from 0 to 18446744073709551615"),
                ("--tokens", "0", "from 1 to 1000000"), ("--tokens", "many", "from 1 to 1000000"),
                ("--balance", "1e3", "a plain decimal such as 0.50"),
                ("--mode", "Sliding", "sliding, bucket, fixed or leaky"),
                ("--ttft", "10", "250ms"), ("--itl", "soon", "250ms"), ("--faults", "cut", "cut=0.05")):
            with self.subTest(flag=flag, value=value):
                self.assert_one_sentence(self.refused(flag, value), flag, value, wanted)

    def test_a_word_is_not_a_command(self) -> None:
        run = self.refused("extra")
        self.assert_one_sentence(run, "'extra'", "sluice simulate --help")
        self.assertNotIn("command 'extra'", run.err)
        self.assert_one_sentence(self.refused("--prot", "1"), "unknown flag '--prot'", "--port")

    def test_the_largest_seed(self) -> None:
        self.assertEqual(self.simulator("--seed", str(2**64 - 1)).ledger["attempts"], 0)


if __name__ == "__main__":
    unittest.main()
