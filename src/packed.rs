//! Immutable arrays of plain little-endian values: views of a model file's bytes, or of bytes made in training.
//!
//! Everything large in a model is a [`Packed`] array, so that a model that was loaded and one that was just trained
//! are the same types, saving is copying, and the bundled model is used where the linker put it. The element types
//! have alignment 1 and convert on access, which costs nothing on little-endian machines; no `unsafe` is needed.

use std::marker::PhantomData;
use std::ops::Deref;

use bytes::Bytes;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::cache_lines;

/// An immutable array of `T` over shared bytes; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Packed<T> {
    bytes: Bytes,
    element: PhantomData<T>,
}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned> Packed<T> {
    /// Views `bytes` as an array; `None` when their length isn't a multiple of the element's.
    pub fn new(bytes: Bytes) -> Option<Self> {
        <[T]>::ref_from_bytes(&bytes).is_ok().then_some(Self { bytes, element: PhantomData })
    }

    /// Copies values into an array of their bytes.
    pub fn from_values(values: &[T]) -> Self {
        Self { bytes: cache_lines::copy(values.as_bytes()), element: PhantomData }
    }

    /// The array as it stands in a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T: FromBytes + Immutable + KnownLayout + Unaligned> Deref for Packed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // The constructors saw to the length, so the empty slice is never taken.
        <[T]>::ref_from_bytes(&self.bytes).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::little_endian::F32;

    use super::*;

    #[test]
    fn bytes_anywhere_are_an_array_if_their_number_fits() {
        let bytes = Bytes::from_static(&[9, 0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0, 9]);
        let packed = Packed::<F32>::new(bytes.slice(1..9)).unwrap();
        assert_eq!(packed.iter().map(|number| number.get()).collect::<Vec<_>>(), [1.0, -2.0]);
        assert_eq!(packed.as_bytes(), &bytes[1..9]);
        assert_eq!(Packed::from_values(&packed).as_bytes(), packed.as_bytes());
        assert!(Packed::<F32>::new(bytes.slice(1..8)).is_none());
        assert!(Packed::<F32>::new(Bytes::new()).unwrap().is_empty());
    }
}
