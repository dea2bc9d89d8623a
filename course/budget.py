"""What a chapter may cost. The only place where these numbers stand; `make times` compares."""

PLANNED = 23  # chapters of the whole course
MINUTES = 60  # for everything, with all planned chapters, on two cores
AIM = {"lectures": 90, "solutions": 20}  # seconds by the clock, alone on two cores
# The limit is 120 and 20 s alone on two cores. It is enforced in seconds of all cores, which a busy
# machine changes less: two cores for that long.
LIMIT = {"lectures": 240, "solutions": 40}
TESTS = 60  # seconds of one core for a chapter's tests and kept answers
MIB = 2500  # memory of a notebook
TEST_MIB = 3000  # memory of a process that tests
