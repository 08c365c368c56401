//! What the journeys in this package share. Each test file stands alone.
