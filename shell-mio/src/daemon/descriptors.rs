//! The limit of open files: raised as far as the system lets us, and refused when it cannot hold what the
//! configuration allows. A crowd at the door then never takes the descriptors that dials and the API need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use timed_core::Limits;

use super::api;
use super::failure::Failure;

/// Makes sure that the process may open as many files as a node with these limits does.
pub(crate) fn secure(limits: &Limits) -> Result<(), Failure> {
    let needed = u64::try_from(crate::descriptors(limits) + api::MAX_DESCRIPTORS).unwrap_or(u64::MAX);
    let limit = getrlimit(Resource::Nofile);
    match remedy(needed, limit) {
        Remedy::None => Ok(()),
        Remedy::Raise(to) => setrlimit(Resource::Nofile, to)
            .map_err(|error| Failure::failed(format!("cannot raise the limit of open files: {error}"))),
        Remedy::Refuse { allowed } => Err(Failure::failed(format!(
            "this configuration needs up to {needed} open files, but the system allows {allowed}: raise the \
             limit (LimitNOFILE= of the service, ulimit -Hn), or lower network.max_peers or \
             limits.unauthenticated"
        ))),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Remedy {
    None,
    Raise(Rlimit),
    Refuse { allowed: u64 },
}

/// No limit is `None`. Raised to the hard limit, so that nothing unforeseen is short either.
fn remedy(needed: u64, limit: Rlimit) -> Remedy {
    match (limit.current, limit.maximum) {
        (None, _) => Remedy::None,
        (Some(_), Some(allowed)) if allowed < needed => Remedy::Refuse { allowed },
        (current, maximum) if current == maximum => Remedy::None,
        (Some(current), None) if current >= needed => Remedy::None,
        (Some(_), None) => Remedy::Raise(Rlimit { current: Some(needed), maximum: None }),
        (Some(_), maximum) => Remedy::Raise(Rlimit { current: maximum, maximum }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(current: impl Into<Option<u64>>, maximum: impl Into<Option<u64>>) -> Rlimit {
        Rlimit { current: current.into(), maximum: maximum.into() }
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows_or_the_start_refused() {
        assert_eq!(remedy(600, limit(1024, 4096)), Remedy::Raise(limit(4096, 4096)));
        assert_eq!(remedy(600, limit(4096, 4096)), Remedy::None);
        assert_eq!(remedy(600, limit(None, None)), Remedy::None);
        assert_eq!(remedy(600, limit(1024, None)), Remedy::None);
        assert_eq!(remedy(2000, limit(1024, None)), Remedy::Raise(limit(2000, None)));
        assert_eq!(remedy(600, limit(256, 512)), Remedy::Refuse { allowed: 512 });
    }

    #[test]
    fn the_defaults_fit_the_usual_limit() {
        for registry in [4, 30, 128] {
            let needed = crate::descriptors(&Limits::for_registry(registry)) + api::MAX_DESCRIPTORS;
            assert!(needed <= 1024, "{needed} for {registry} masternodes");
        }
    }
}
