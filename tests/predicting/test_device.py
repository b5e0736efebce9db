"""The thread of the device."""

from concurrent.futures import Future

from facelime_cli.predicting.device import Device


def test_a_call_that_ends_while_it_is_asked_about_is_no_error():
    class Late(Future):
        def result(self, timeout=None):
            if timeout is not None:
                raise TimeoutError
            return 7

        def done(self):
            return True

    assert Device().wait(Late()) == 7
