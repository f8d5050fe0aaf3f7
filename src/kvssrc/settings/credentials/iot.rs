//! kvssink's structure `iot-certificate`, field by field.

use std::time::Duration;

use gst::prelude::*;

use super::{CredentialSettingsError, is_word};
use crate::aws::{IotCertificate, Stream};

/// Those of kvssink are too short for a link that a camera may have.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(10);

/// The certificate that the structure describes; a stream's name is its thing's name where nothing else is said.
///
/// # Errors
///
/// A field is missing, unknown or cannot be.
pub(super) fn certificate(
    structure: &gst::StructureRef,
    stream: &Stream,
) -> Result<IotCertificate, CredentialSettingsError> {
    use CredentialSettingsError as Error;
    const FIELDS: [&str; 8] = [
        "endpoint",
        "cert-path",
        "key-path",
        "ca-path",
        "role-aliases",
        "iot-thing-name",
        "connection-timeout",
        "completion-timeout",
    ];
    if let Some(unknown) = structure.fields().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(Error::IotUnknown(unknown.to_string()));
    }
    let given = |field| structure.get::<String>(field).ok().filter(|text| !text.is_empty());
    let text = |field| given(field).ok_or(Error::IotField(field));
    let value = |field, value| Error::IotValue { field, value };
    let seconds = |field, default| {
        let Ok(seconds) = structure.value(field) else { return Ok(default) };
        let number = seconds.get::<i32>().ok().and_then(|number| u32::try_from(number).ok());
        let number = number.or_else(|| seconds.get::<String>().ok()?.parse().ok()).filter(|number| *number > 0);
        let wrong = || value(field, seconds.serialize().map(String::from).unwrap_or_default());
        number.map(|number| Duration::from_secs(number.into())).ok_or_else(wrong)
    };
    let endpoint = text("endpoint")?;
    // A host and a port, of which nothing else can come than a URL's authority.
    if !is_word(&endpoint, ".-:[]") {
        return Err(value("endpoint", endpoint));
    }
    let role_alias = text("role-aliases")?;
    if !is_word(&role_alias, "_=,@-") {
        return Err(value("role-aliases", role_alias));
    }
    let thing_name = match structure.has_field("iot-thing-name") {
        true => text("iot-thing-name")?,
        false => stream.short_name().to_owned(),
    };
    if !is_word(&thing_name, ":_-.") {
        return Err(value("iot-thing-name", thing_name));
    }
    Ok(IotCertificate {
        endpoint,
        cert_path: text("cert-path")?.into(),
        key_path: text("key-path")?.into(),
        ca_path: text("ca-path")?.into(),
        role_alias,
        thing_name,
        connection_timeout: seconds("connection-timeout", CONNECTION_TIMEOUT)?,
        completion_timeout: seconds("completion-timeout", COMPLETION_TIMEOUT)?,
    })
}
