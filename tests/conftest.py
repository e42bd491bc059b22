"""What every test needs: the profiles of Hypothesis."""

from hypothesis import settings

# A shared machine stalls now and then, so no single example is timed: pytest-timeout bounds the test.
settings.register_profile("quick", deadline=None, max_examples=100)
settings.register_profile("thorough", deadline=None, max_examples=5000)
settings.load_profile("quick")
