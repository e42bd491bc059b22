# When a schedule is due: the parser and the calendar that emitted workers run.

cdef extern from "cron_parse.h" nogil:
    enum:
        PGBGW_CRON_ANY_HOUR
        PGBGW_CRON_ANY_DAY
        PGBGW_CRON_ANY_WEEKDAY
        PGBGW_CRON_SECONDS

    ctypedef struct pgbgw_cron:
        uint64_t seconds
        uint64_t minutes
        uint64_t hours
        uint64_t days
        uint64_t last_days
        uint64_t months
        uint64_t weekdays
        uint8_t[7] nth
        uint8_t flags
        int64_t period
        int64_t anchor

    ctypedef struct pgbgw_cron_fault:
        int32_t at
        int32_t length
        const char *message
        const char *hint

    int pgbgw_cron_parse(const char *text, pgbgw_cron *cron, pgbgw_cron_fault *fault)


cdef extern from "calendar.h":
    enum:
        PGBGW_DAY_SECS
        PGBGW_SKIP_GAP
        PGBGW_REPEAT

    ctypedef int (*pgbgw_offset_at)(void *zone, int64_t at, int64_t *offset, int64_t *until) except -1

    ctypedef struct pgbgw_zone:
        pgbgw_offset_at offset_at
        void *zone

    int pgbgw_cron_comes(const pgbgw_cron *cron) nogil
    int pgbgw_cron_due(
        const pgbgw_cron *cron, const pgbgw_zone *zone, int rules, int64_t after, int64_t *due
    ) except -1
    int pgbgw_interval_due(int64_t anchor, int64_t period, int64_t after, int64_t *due) nogil


class CronError(ValueError):
    """A text is no schedule. ``at`` and ``length`` tell, in characters of ``text``, what is wrong; ``length`` is 0
    where something is missing. ``message`` and ``hint`` say what, and the way out.
    """

    def __init__(self, text, at, length, message, hint):
        super().__init__(text, at, length, message, hint)
        self.text = text
        self.at = at
        self.length = length
        self.message = message
        self.hint = hint

    def __str__(self):
        what = f": {self.text[self.at:self.at + self.length]}" if self.length else ""
        return f"{self.message}{what}"


cdef int _offset_at(void *zone, int64_t at, int64_t *offset, int64_t *until) except -1:
    ahead, end = (<object> zone)(at)
    # the sums in calendar.h have room for no more
    if not -PGBGW_DAY_SECS < ahead < PGBGW_DAY_SECS:
        raise ValueError(f"the offset at {at} is {ahead} seconds, which is a day or more")
    # told wrongly it would be asked for ever
    if end <= at:
        raise ValueError(f"the offset at {at} ends at {end}, which is not later")
    offset[0] = ahead
    until[0] = min(end, INT64_MAX)
    return 0


cdef tuple _members(uint64_t numbers):
    return tuple([number for number in range(64) if numbers >> number & 1])


@cython.final
cdef class Cron:
    """A schedule in five fields, as in crontab(5): minute, hour, day of the month, month, day of the week; or in six,
    the first of them the second; or a name such as @daily; or an interval such as @every 7 minutes.

    ``seconds``, ``minutes``, ``hours``, ``days``, ``months`` and ``weekdays`` (0 is Sunday) are the numbers of the
    fields, in order. ``last_days`` counts days from the end of the month, 0 the last; ``nth`` has pairs of a weekday
    and which one of the month, 1 to 5, or 0 for the last. ``any_hour``, ``any_day`` and ``any_weekday`` tell whether
    the field begins with an asterisk, ``with_seconds`` whether there are six. All of these are empty for an interval,
    whose ``period`` is its length in seconds, else 0; ``anchor`` is when it is first due, in seconds since 1970 in UTC.

    Immutable. Raises CronError for a text that is none, and for days that never come, such as the 30th of February.
    Source: c_templates/static/cron_parse.h.
    """

    cdef readonly str text
    cdef pgbgw_cron cron

    def __init__(self, str text not None):
        cdef pgbgw_cron cron
        cdef pgbgw_cron_fault fault
        if self.text is not None:
            raise TypeError("a Cron is immutable")
        nul = text.find("\0")
        if nul >= 0:
            raise CronError(text, nul, 1, "a zero byte", "A schedule is plain text.")
        encoded = text.encode("utf-8", "surrogatepass")
        if len(encoded) > 1000:
            raise CronError(text, 0, len(text), "longer than 1000 bytes", "A list in a field may have ranges.")
        if not pgbgw_cron_parse(encoded, &cron, &fault):
            at = len(encoded[:fault.at].decode("utf-8", "surrogatepass"))
            # characters by the first byte of each: what is unknown may be told as that byte alone
            length = sum([byte & 0xc0 != 0x80 for byte in encoded[fault.at:fault.at + fault.length]])
            raise CronError(text, at, length, fault.message.decode(), fault.hint.decode())
        if not pgbgw_cron_comes(&cron):
            raise CronError(
                text, 0, len(text), "a day that never comes", "No year has such a day in such a month."
            )
        self.text = text
        self.cron = cron

    def __repr__(self):
        return f"Cron({self.text!r})"

    def __eq__(self, other):
        return self.text == (<Cron> other).text if isinstance(other, Cron) else NotImplemented

    def __hash__(self):
        return hash((Cron, self.text))

    def __reduce__(self):
        return Cron, (self.text,)

    @property
    def seconds(self):
        return _members(self.cron.seconds)

    @property
    def minutes(self):
        return _members(self.cron.minutes)

    @property
    def hours(self):
        return _members(self.cron.hours)

    @property
    def days(self):
        return _members(self.cron.days)

    @property
    def last_days(self):
        return _members(self.cron.last_days)

    @property
    def months(self):
        return _members(self.cron.months)

    @property
    def weekdays(self):
        return _members(self.cron.weekdays)

    @property
    def nth(self):
        return tuple([(day, which) for day in range(7) for which in _members(self.cron.nth[day])])

    @property
    def any_hour(self):
        return bool(self.cron.flags & PGBGW_CRON_ANY_HOUR)

    @property
    def any_day(self):
        return bool(self.cron.flags & PGBGW_CRON_ANY_DAY)

    @property
    def any_weekday(self):
        return bool(self.cron.flags & PGBGW_CRON_ANY_WEEKDAY)

    @property
    def with_seconds(self):
        return bool(self.cron.flags & PGBGW_CRON_SECONDS)

    @property
    def period(self):
        return self.cron.period

    @property
    def anchor(self):
        return self.cron.anchor

    def due(self, offset_at, int64_t after, *, bint skip_gap=False, bint repeat=False):
        """The first time later than ``after`` at which this is due, or None; both in seconds since 1970 in UTC.

        ``offset_at`` is called with such a time and returns how many seconds the clocks are ahead of UTC then, by less
        than a day, and until when, not included, they are so; told too early, it is asked again. A schedule whose hours
        begin with an asterisk is due whenever the clocks show a time that it names. Another one is due once when they
        come to it or pass it over; with ``skip_gap`` not when they pass it over, with ``repeat`` as often as they show
        it. An interval asks for no offset. Raises what ``offset_at`` raises, and ValueError where it returns a day or
        more, or an end that is not later. Source: c_templates/static/calendar.h.
        """
        cdef pgbgw_zone zone
        cdef int64_t due = 0
        cdef int rules = (PGBGW_SKIP_GAP if skip_gap else 0) | (PGBGW_REPEAT if repeat else 0)
        zone.offset_at = _offset_at
        zone.zone = <void *> offset_at
        return due if pgbgw_cron_due(&self.cron, &zone, rules, after, &due) else None


def interval_due(int64_t anchor, int64_t period, int64_t after):
    """The first time later than ``after`` that is a whole number of periods away from ``anchor``; None when no int64
    holds it. All in one unit, whichever. Raises ValueError when ``period`` is not above 0. Source:
    c_templates/static/calendar.h.
    """
    cdef int64_t due = 0
    if period <= 0:
        raise ValueError(f"a period is above 0, not {period}")
    return due if pgbgw_interval_due(anchor, period, after, &due) else None
