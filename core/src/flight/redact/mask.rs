//! Values written with their addresses, payloads and names replaced: whatever the type, by the form in which it is
//! written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde::{Deserialize, Serialize};

use crate::flight::entry;

/// What stands for an address.
pub(super) trait Mask {
    fn ip(&self, ip: IpAddr) -> IpAddr;
    /// A prefix of so many bits is on its way with this address; said before [`Mask::ip`].
    fn note(&self, ip: IpAddr);
}

/// A value that is written masked.
pub(super) struct Masked<'a, T: ?Sized>(pub(super) &'a T, pub(super) &'a dyn Mask);

impl<T: Serialize + ?Sized> Serialize for Masked<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Masking { to, mask: self.1 })
    }
}

/// Letters and digits of a name become one letter; its length stays.
fn hidden(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { 'x' } else { c }).collect()
}

/// An address as the bytes that it is written as.
fn read<T: for<'de> Deserialize<'de>, V: Serialize + ?Sized>(value: &V) -> Option<T> {
    let mut bytes = Vec::new();
    entry::append(value, &mut bytes).ok()?;
    entry::whole(&bytes).ok()
}

struct Masking<'a, S> {
    to: S,
    mask: &'a dyn Mask,
}

impl<'a, S: Serializer> Masking<'a, S> {
    fn parts<C>(self, begin: impl FnOnce(S) -> Result<C, S::Error>) -> Result<Parts<'a, C>, S::Error> {
        Ok(Parts { to: begin(self.to)?, mask: self.mask })
    }
}

macro_rules! as_it_is {
    ($($name:ident: $type:ty,)*) => {
        $(fn $name(self, value: $type) -> Result<S::Ok, S::Error> {
            self.to.$name(value)
        })*
    };
}

impl<'a, S: Serializer> Serializer for Masking<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'a, S::SerializeSeq>;
    type SerializeTuple = Parts<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'a, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'a, S::SerializeMap>;
    type SerializeStruct = Parts<'a, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'a, S::SerializeStructVariant>;

    as_it_is! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
        serialize_unit_struct: &'static str,
    }

    fn serialize_str(self, text: &str) -> Result<S::Ok, S::Error> {
        self.to.serialize_str(&hidden(text))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<S::Ok, S::Error> {
        self.to.serialize_bytes(&vec![0; bytes.len()])
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.to.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.to.serialize_some(&Masked(value, self.mask))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.to.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.to.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        // The network's name is in its genesis file, and no secret.
        if name == "NetworkName" {
            return self.to.serialize_newtype_struct(name, value);
        }
        self.to.serialize_newtype_struct(name, &Masked(value, self.mask))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let Self { to, mask } = self;
        let masked = |ip: IpAddr| {
            mask.note(ip);
            mask.ip(ip)
        };
        match (name, variant) {
            ("IpAddr", "V4") => match read::<Ipv4Addr, T>(value).map(|ip| masked(ip.into())) {
                Some(IpAddr::V4(ip)) => to.serialize_newtype_variant(name, index, variant, &ip),
                _ => to.serialize_newtype_variant(name, index, variant, &Ipv4Addr::UNSPECIFIED),
            },
            ("IpAddr", "V6") => match read::<Ipv6Addr, T>(value).map(|ip| masked(ip.into())) {
                Some(IpAddr::V6(ip)) => to.serialize_newtype_variant(name, index, variant, &ip),
                _ => to.serialize_newtype_variant(name, index, variant, &Ipv6Addr::UNSPECIFIED),
            },
            ("SocketAddr", "V4") => {
                let port = read::<SocketAddrV4, T>(value);
                match port.map(|addr| (masked((*addr.ip()).into()), addr.port())) {
                    Some((IpAddr::V4(ip), port)) => {
                        to.serialize_newtype_variant(name, index, variant, &SocketAddrV4::new(ip, port))
                    }
                    _ => to.serialize_newtype_variant(
                        name,
                        index,
                        variant,
                        &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
                    ),
                }
            }
            ("SocketAddr", "V6") => {
                let port = read::<SocketAddrV6, T>(value);
                match port.map(|addr| (masked((*addr.ip()).into()), addr.port())) {
                    Some((IpAddr::V6(ip), port)) => {
                        to.serialize_newtype_variant(name, index, variant, &SocketAddrV6::new(ip, port, 0, 0))
                    }
                    _ => to.serialize_newtype_variant(
                        name,
                        index,
                        variant,
                        &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0),
                    ),
                }
            }
            _ => to.serialize_newtype_variant(name, index, variant, &Masked(value, mask)),
        }
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.parts(|to| to.serialize_seq(length))
    }

    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.parts(|to| to.serialize_tuple(length))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.parts(|to| to.serialize_tuple_struct(name, length))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.parts(|to| to.serialize_tuple_variant(name, index, variant, length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.parts(|to| to.serialize_map(length))
    }

    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.parts(|to| to.serialize_struct(name, length))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.parts(|to| to.serialize_struct_variant(name, index, variant, length))
    }

    fn is_human_readable(&self) -> bool {
        self.to.is_human_readable()
    }
}

/// The parts of something, one by one.
struct Parts<'a, C> {
    to: C,
    mask: &'a dyn Mask,
}

macro_rules! unnamed_parts {
    ($($trait:ident $method:ident,)*) => {
        $(impl<C: $trait> $trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.to.$method(&Masked(value, self.mask))
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.to.end()
            }
        })*
    };
}

unnamed_parts! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! named_parts {
    ($($trait:ident,)*) => {
        $(impl<C: $trait> $trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.to.serialize_field(name, &Masked(value, self.mask))
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), C::Error> {
                self.to.skip_field(name)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.to.end()
            }
        })*
    };
}

named_parts! {
    SerializeStruct,
    SerializeStructVariant,
}

impl<C: SerializeMap> SerializeMap for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.to.serialize_key(&Masked(key, self.mask))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.to.serialize_value(&Masked(value, self.mask))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.to.end()
    }
}
