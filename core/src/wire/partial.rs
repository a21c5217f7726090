//! Bytes of a unit that was cut on the way, kept until the rest arrives.

/// Moves bytes from `input` until `buffer` has `total` of them. The buffer grows with what has arrived,
/// doubling as a vector does by itself, but never past `total`.
pub(crate) fn fill(buffer: &mut Vec<u8>, total: usize, input: &mut &[u8]) {
    let missing = total.saturating_sub(buffer.len()).min(input.len());
    let Some((bytes, rest)) = input.split_at_checked(missing) else { return };
    *input = rest;
    let arrived = buffer.len() + missing;
    if arrived > buffer.capacity() {
        let room = arrived.max(total.min(2 * buffer.capacity()));
        buffer.reserve_exact(room - buffer.len());
    }
    buffer.extend_from_slice(bytes);
}
