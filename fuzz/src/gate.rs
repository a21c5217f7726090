//! Persist before send: whatever is parked leaves in the order of its records, each once, none before its record
//! is durable, and nothing at all after a write has failed. Compared with a list that is searched anew each time.

use arbitrary::{Arbitrary, Unstructured};
use timed_core::Ticket;
use timed_core::durable::{Gate, Passage};

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Issue,
    /// A value behind one of the latest tickets, where so many may wait.
    Pass {
        behind: u8,
        bound: u8,
    },
    /// The record of one of the latest tickets is durable, or one that was never issued is said to be.
    Persisted(Which),
    Take,
    /// Forgets every other value if so many wait.
    Tidy(u8),
    Fail,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Which {
    Latest(u8),
    Any(u64),
}

/// The gate as its rule says it.
#[derive(Debug, Default)]
struct Model {
    issued: u64,
    durable: u64,
    failed: bool,
    /// Behind which ticket each value waits, oldest first.
    waiting: Vec<(u64, u32)>,
}

impl Model {
    fn pass(&mut self, behind: u64, value: u32, bound: usize) -> Passage<u32> {
        if self.failed {
            Passage::Barred
        } else if behind <= self.durable {
            Passage::Open(value)
        } else if self.waiting.len() >= bound {
            Passage::Barred
        } else {
            self.waiting.push((behind, value));
            Passage::Parked
        }
    }

    /// The oldest value behind the earliest ticket that is durable.
    fn next(&mut self) -> Option<u32> {
        let first = self.waiting.iter().map(|(behind, _)| *behind).min().filter(|at| *at <= self.durable)?;
        let place = self.waiting.iter().position(|(behind, _)| *behind == first)?;
        Some(self.waiting.remove(place).1)
    }
}

/// Any calls.
///
/// # Panics
/// If the gate does otherwise than its model.
pub fn body(input: &[u8]) {
    let Ok(ops) = Vec::<Op>::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let (mut gate, mut model) = (Gate::new(), Model::default());
    for (op, value) in ops.iter().zip(0u32..) {
        let latest = |back: u8| model.issued.saturating_sub(u64::from(back));
        match *op {
            Op::Issue => {
                let ticket = gate.issue();
                assert_eq!(ticket, Ticket(model.issued + 1), "tickets are handed out in order, once");
                model.issued += 1;
            }
            Op::Pass { behind, bound } => {
                let (behind, bound) = (latest(behind % 8), usize::from(bound % 16));
                let expected = model.pass(behind, value, bound);
                assert_eq!(gate.pass(Ticket(behind), value, bound), expected);
            }
            Op::Persisted(which) => {
                let ticket = match which {
                    Which::Latest(back) => latest(back % 8),
                    Which::Any(any) => any,
                };
                gate.persisted(Ticket(ticket));
                if ticket <= model.issued {
                    model.durable = model.durable.max(ticket);
                }
            }
            Op::Take => assert_eq!(gate.next_open(), model.next()),
            Op::Tidy(bound) => {
                let bound = usize::from(bound % 16);
                gate.tidy(bound, |value| value % 2 == 0);
                if model.waiting.len() >= bound {
                    model.waiting.retain(|(_, value)| value % 2 == 0);
                }
            }
            Op::Fail => {
                gate.poison();
                model.failed = true;
                model.waiting.clear();
            }
        }
        assert_eq!(gate.is_settled(), model.failed || model.durable >= model.issued);
    }
    // When everything is durable nothing waits any more.
    gate.persisted(Ticket(model.issued));
    model.durable = model.issued;
    while let Some(expected) = model.next() {
        assert_eq!(gate.next_open(), Some(expected));
    }
    assert_eq!(gate.next_open(), None);
}

/// Values behind their records, in and out of order; a failed write.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    (0..24u8)
        .map(|number| (0..160u8).map(|at| at.wrapping_mul(number).wrapping_mul(11) ^ number).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn gate_holds_on_seeds_and_noise() {
        crate::smoke::run("gate", &super::seeds(), 10_000, super::body);
    }
}
