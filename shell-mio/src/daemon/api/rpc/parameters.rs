//! Parameters of a call, by place or by name, checked before anything is done.

use serde_json::Value;

use super::call::Fault;
use super::method::Method;
use crate::daemon::config::did_you_mean;

/// The values given, in the order of the method's parameters; null and nothing are the same.
#[derive(Debug)]
pub(super) struct Parameters<'a>(Vec<(&'static str, Option<&'a Value>)>);

impl<'a> Parameters<'a> {
    /// Reads what a call gives.
    pub(super) fn read(method: Method, given: Option<&'a Value>) -> Result<Self, Fault> {
        let names = method.parameters();
        let mut values: Vec<(&'static str, Option<&Value>)> =
            names.iter().map(|name| (*name, None)).collect();
        match given {
            Some(Value::Array(list)) => {
                if list.len() > names.len() {
                    return Err(Fault::new(
                        Fault::INVALID_PARAMETERS,
                        format!("{}; {} parameters are too many", method.usage(), list.len()),
                    ));
                }
                for (place, value) in values.iter_mut().zip(list) {
                    place.1 = Some(value);
                }
            }
            Some(Value::Object(fields)) => {
                for (name, value) in fields {
                    let place = values.iter_mut().find(|(known, _)| known == name);
                    place.ok_or_else(|| unknown(method, name))?.1 = Some(value);
                }
            }
            _ => {}
        }
        for (_, value) in &mut values {
            *value = value.filter(|value| !value.is_null());
        }
        let missing = values.iter().take(method.required()).find(|(_, value)| value.is_none());
        match missing {
            Some((name, _)) => Err(Fault::parameter(name, format!("is missing; {}", method.usage()))),
            None => Ok(Self(values)),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.iter().find(|(known, _)| *known == name).and_then(|(_, value)| *value)
    }

    fn wrong(name: &str, expected: &str, found: &Value) -> Fault {
        let found: String = found.to_string().chars().take(80).collect();
        Fault::parameter(name, format!("expected {expected}, found {found}"))
    }

    /// A value as it was given, if it was.
    pub(super) fn any(&self, name: &str) -> Option<&'a Value> {
        self.get(name)
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| Self::wrong(name, "a text", value))
    }

    /// A text that has to be given.
    pub(super) fn required_text(&self, name: &str) -> Result<&'a str, Fault> {
        self.text(name)?.ok_or_else(|| Fault::parameter(name, "is missing"))
    }

    /// A whole number, not negative.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value
            .as_u64()
            .map(Some)
            .ok_or_else(|| Self::wrong(name, "a whole number that is not negative", value))
    }

    /// A yes or no; no where nothing is given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Fault> {
        let Some(value) = self.get(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| Self::wrong(name, "true or false", value))
    }
}

fn unknown(method: Method, name: &str) -> Fault {
    let shown: String = name.chars().take(64).collect();
    let hint = match did_you_mean(name, method.parameters().iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => method.usage(),
    };
    Fault::new(Fault::INVALID_PARAMETERS, format!("there is no parameter {shown:?}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(method: Method, given: &Value) -> String {
        let fault = Parameters::read(method, Some(given)).unwrap_err();
        assert_eq!(fault.code, Fault::INVALID_PARAMETERS);
        format!("{fault:?}")
    }

    #[test]
    fn by_place_and_by_name_are_the_same_and_null_is_nothing() {
        let by_place = json!(["10.0.0.1", "add", null, true]);
        let by_name = json!({ "absolute": true, "command": "add", "subnet": "10.0.0.1" });
        for given in [by_place, by_name] {
            let parameters = Parameters::read(Method::SetBan, Some(&given)).unwrap();
            assert_eq!(parameters.required_text("subnet").unwrap(), "10.0.0.1");
            assert_eq!(parameters.text("command").unwrap(), Some("add"));
            assert_eq!(parameters.number("bantime").unwrap(), None);
            assert!(parameters.flag("absolute").unwrap());
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(fault(Method::GetBlockCount, &json!([1])).contains("takes no parameters"));
        assert!(fault(Method::SetBan, &json!(["10.0.0.1"])).contains("command: is missing"));
        assert!(fault(Method::SetBan, &json!({ "subnett": 1 })).contains("did you mean subnet?"));
        let given = json!([7, "add", "soon", 1]);
        let parameters = Parameters::read(Method::SetBan, Some(&given)).unwrap();
        for (fault, told) in [
            (parameters.text("subnet").unwrap_err(), "subnet: expected a text, found 7"),
            (parameters.number("bantime").unwrap_err(), "bantime: expected a whole number"),
            (parameters.flag("absolute").unwrap_err(), "absolute: expected true or false, found 1"),
        ] {
            assert!(format!("{fault:?}").contains(told), "{fault:?}");
        }
    }
}
