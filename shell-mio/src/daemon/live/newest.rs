//! What a screen remembers.

use std::collections::VecDeque;

/// Entries kept: more than any screen shows.
const REMEMBERED: usize = 200;

/// The newest of something.
#[derive(Debug)]
pub(crate) struct Newest<T>(VecDeque<T>);

impl<T> Newest<T> {
    pub(crate) const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Adds one, and forgets the oldest where there are too many.
    pub(crate) fn push(&mut self, entry: T) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// All of them, oldest first.
    pub(crate) fn all(&mut self) -> &mut [T] {
        self.0.make_contiguous()
    }

    pub(crate) fn into_all(self) -> impl Iterator<Item = T> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut newest = Newest::new();
        (0..=REMEMBERED).for_each(|entry| newest.push(entry));
        assert_eq!(newest.all().len(), REMEMBERED);
        assert_eq!(newest.into_all().next(), Some(1));
    }
}
