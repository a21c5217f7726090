//! Whoever crashes goes on where it was, and contradicts nothing that it has said.
