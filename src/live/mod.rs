//! Wakes subscribers. A wake is a hint, never the news itself: whoever is woken reads the store after its cursor, so a
//! lost wake costs a moment (the slow poll finds what it missed), never an event.
