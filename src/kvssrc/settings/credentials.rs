//! The properties that say where credentials come from, and which of them wins.

mod iot;

use std::path::PathBuf;
use std::sync::OnceLock;

use gst::glib;
use gst::prelude::*;

#[cfg(feature = "cognito")]
use crate::aws::CognitoIdentity;
use crate::aws::{CredentialSource, Credentials, Role, StaticCredentials, Stream};

/// The properties as they were set; no `Debug`, since some are secret.
#[derive(Clone, Default)]
pub(super) struct CredentialProperties {
    access_key: Option<String>,
    secret_key: Option<String>,
    session_token: Option<String>,
    credential_path: Option<String>,
    iot_certificate: Option<gst::Structure>,
    #[cfg(feature = "cognito")]
    cognito_identity_pool_id: Option<String>,
    #[cfg(feature = "cognito")]
    cognito_login: Option<String>,
    profile: Option<String>,
    role_arn: Option<String>,
    role_session_name: Option<String>,
    role_external_id: Option<String>,
    /// What the properties come to, from the first use on: what was fetched outlives a stopped pipeline.
    credentials: OnceLock<Credentials>,
}

/// Properties that make no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialSettingsError {
    #[error("property {given} is set without {missing}: give both, or neither")]
    Half { given: &'static str, missing: &'static str },
    #[error(
        "iot-certificate has no text {0}: it reads iot-certificate,endpoint=…,cert-path=…,key-path=…,ca-path=…,role-aliases=…"
    )]
    IotField(&'static str),
    #[error("iot-certificate has {0}, which is none of its fields")]
    IotUnknown(String),
    #[error("the {field} of iot-certificate cannot be `{value}`")]
    IotValue { field: &'static str, value: String },
    #[error("`{0}` is no identity pool, in cognito-identity-pool-id: those read REGION:GUID")]
    #[cfg(feature = "cognito")]
    Pool(String),
    #[error("cognito-login reads PROVIDER:TOKEN")]
    #[cfg(feature = "cognito")]
    Login,
    #[error("`{0}` is no role's ARN, in role-arn: those read arn:aws:iam::ACCOUNT:role/NAME")]
    Role(String),
}

impl CredentialProperties {
    /// Their specifications, in the order of precedence.
    pub fn properties() -> Vec<glib::ParamSpec> {
        let string = |name: &'static str, nick: &'static str, blurb: &'static str| {
            glib::ParamSpecString::builder(name).nick(nick).blurb(blurb).mutable_ready()
        };
        vec![
            string(
                "access-key",
                "Access key",
                "AWS access key ID; goes with secret-key. Credentials come from the first that is set of access-key, \
                 credential-path, iot-certificate, cognito-identity-pool-id and profile, else from the AWS SDK's chain \
                 (environment, shared files with SSO and credential_process, web identity, container, instance \
                 metadata)",
            )
            .write_only()
            .build(),
            string("secret-key", "Secret key", "AWS secret access key; goes with access-key").write_only().build(),
            string(
                "session-token",
                "Session token",
                "AWS session token; goes with access-key and secret-key where these are temporary",
            )
            .write_only()
            .build(),
            string(
                "credential-path",
                "Credential file path",
                "File with `CREDENTIALS KEY SECRET` or `CREDENTIALS KEY EXPIRATION SECRET TOKEN`, as kvssink reads it; \
                 read again for each call, so that fresh credentials written there are used (used unless access-key is \
                 set)",
            )
            .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("iot-certificate")
                .nick("IoT certificate")
                .blurb(
                    "Certificate of an AWS IoT device, as kvssink takes it: iot-certificate,endpoint=HOST,\
                     cert-path=FILE,key-path=FILE,ca-path=FILE,role-aliases=ALIAS and, where it is not the stream's \
                     name, iot-thing-name=THING (used unless access-key or credential-path is set)",
                )
                .mutable_ready()
                .build(),
            #[cfg(feature = "cognito")]
            string(
                "cognito-identity-pool-id",
                "Cognito identity pool",
                "Amazon Cognito identity pool, such as eu-west-1:01234567-89ab-cdef-0123-456789abcdef, whose \
                 unauthenticated role is used, or with cognito-login its authenticated one (used unless access-key, \
                 credential-path or iot-certificate is set)",
            )
            .build(),
            #[cfg(feature = "cognito")]
            string(
                "cognito-login",
                "Cognito login",
                "Name of a login provider of the identity pool, a colon, and the token that it gave, such as \
                 accounts.google.com:TOKEN; goes with cognito-identity-pool-id",
            )
            .write_only()
            .build(),
            string(
                "profile",
                "Profile",
                "Profile of the AWS shared configuration files that gives credentials and region (used unless one of \
                 the above gives credentials; default: AWS_PROFILE)",
            )
            .build(),
            string(
                "role-arn",
                "Role ARN",
                "ARN of a role to assume by AWS STS with the credentials that the above give, such as \
                 arn:aws:iam::123456789012:role/viewer",
            )
            .build(),
            string(
                "role-session-name",
                "Role session name",
                "Name of the session of role-arn, as CloudTrail shows it (default: kvssrc)",
            )
            .build(),
            string("role-external-id", "Role external ID", "External ID that the owner of role-arn asks for").build(),
        ]
    }

    /// Sets a property; `None` where there is none of that name, `false` where the value is none of its type.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Option<bool> {
        if name == "iot-certificate" {
            let value = value.get();
            return Some(value.map(|certificate| self.iot_certificate = certificate).is_ok());
        }
        let text = match name {
            "access-key" => &mut self.access_key,
            "secret-key" => &mut self.secret_key,
            "session-token" => &mut self.session_token,
            "credential-path" => &mut self.credential_path,
            #[cfg(feature = "cognito")]
            "cognito-identity-pool-id" => &mut self.cognito_identity_pool_id,
            #[cfg(feature = "cognito")]
            "cognito-login" => &mut self.cognito_login,
            "profile" => &mut self.profile,
            "role-arn" => &mut self.role_arn,
            "role-session-name" => &mut self.role_session_name,
            "role-external-id" => &mut self.role_external_id,
            _ => return None,
        };
        let value = value.get::<Option<String>>();
        Some(value.map(|value| *text = value.filter(|value| !value.is_empty())).is_ok())
    }

    /// The value of a readable property; `None` where there is none of that name.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "credential-path" => self.credential_path.to_value(),
            "iot-certificate" => self.iot_certificate.to_value(),
            #[cfg(feature = "cognito")]
            "cognito-identity-pool-id" => self.cognito_identity_pool_id.to_value(),
            "profile" => self.profile.to_value(),
            "role-arn" => self.role_arn.to_value(),
            "role-session-name" => self.role_session_name.to_value(),
            "role-external-id" => self.role_external_id.to_value(),
            _ => return None,
        })
    }

    /// Lets go of what was fetched, since another property may change where it comes from.
    pub fn forget(&mut self) {
        self.credentials = OnceLock::new();
    }

    /// What the properties come to; the same until one of them is set.
    ///
    /// # Errors
    ///
    /// A group is set by half, or a value cannot be read.
    pub fn credentials(&self, stream: &Stream) -> Result<Credentials, CredentialSettingsError> {
        // Asked for even where they are kept, since they are only kept where they are right.
        let (source, role) = (self.source(stream)?, self.role()?);
        Ok(self.credentials.get_or_init(|| Credentials::new(source, role)).clone())
    }

    fn source(&self, stream: &Stream) -> Result<CredentialSource, CredentialSettingsError> {
        // All are read, so that what is wrong in one of them is told even where another wins.
        let keys = self.keys()?.map(CredentialSource::Keys);
        let file = self.credential_path.as_ref().map(|path| CredentialSource::File(PathBuf::from(path)));
        let certificate = self.iot_certificate.as_ref();
        let iot = certificate
            .map(|certificate| iot::certificate(certificate, stream))
            .transpose()?
            .map(CredentialSource::Iot);
        #[cfg(feature = "cognito")]
        let cognito = self.cognito()?.map(CredentialSource::Cognito);
        #[cfg(not(feature = "cognito"))]
        let cognito = None;
        let profile = self.profile.clone().map(CredentialSource::Profile);
        Ok(keys.or(file).or(iot).or(cognito).or(profile).unwrap_or_default())
    }

    fn keys(&self) -> Result<Option<StaticCredentials>, CredentialSettingsError> {
        let half = |given, missing| Err(CredentialSettingsError::Half { given, missing });
        match (&self.access_key, &self.secret_key, &self.session_token) {
            (Some(access_key), Some(secret_key), session_token) => Ok(Some(StaticCredentials {
                access_key: access_key.clone(),
                secret_key: secret_key.clone(),
                session_token: session_token.clone(),
            })),
            (Some(_), None, _) => half("access-key", "secret-key"),
            (None, Some(_), _) => half("secret-key", "access-key"),
            (None, None, Some(_)) => half("session-token", "access-key and secret-key"),
            (None, None, None) => Ok(None),
        }
    }

    #[cfg(feature = "cognito")]
    fn cognito(&self) -> Result<Option<CognitoIdentity>, CredentialSettingsError> {
        use CredentialSettingsError as Error;
        let (pool, login) = (self.cognito_identity_pool_id.clone(), self.cognito_login.as_deref());
        let Some(pool) = pool else {
            let (given, missing) = ("cognito-login", "cognito-identity-pool-id");
            return login.map_or(Ok(None), |_| Err(Error::Half { given, missing }));
        };
        if !pool.split_once(':').is_some_and(|(region, guid)| is_word(region, "-") && is_word(guid, "-")) {
            return Err(Error::Pool(pool));
        }
        // A provider may be an ARN, with colons of its own; no token has one.
        let split = |login: &str| {
            let (provider, token) =
                login.rsplit_once(':').filter(|(provider, token)| !provider.is_empty() && !token.is_empty())?;
            Some((provider.to_owned(), token.to_owned()))
        };
        let login = login.map(|login| split(login).ok_or(Error::Login)).transpose()?;
        Ok(Some(CognitoIdentity { pool, login }))
    }

    fn role(&self) -> Result<Option<Role>, CredentialSettingsError> {
        let (session_name, external_id) = (self.role_session_name.clone(), self.role_external_id.clone());
        let half = |given| CredentialSettingsError::Half { given, missing: "role-arn" };
        let Some(arn) = self.role_arn.clone() else {
            return match (session_name, external_id) {
                (None, None) => Ok(None),
                (Some(_), _) => Err(half("role-session-name")),
                (None, Some(_)) => Err(half("role-external-id")),
            };
        };
        let mut parts = arn.splitn(6, ':');
        if !(parts.next() == Some("arn") && parts.nth(4).is_some_and(|resource| resource.starts_with("role/"))) {
            return Err(CredentialSettingsError::Role(arn));
        }
        Ok(Some(Role { arn, session_name, external_id }))
    }
}

/// Not empty, and of nothing but letters, digits and these.
fn is_word(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || others.contains(character))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CERTIFICATE: &str = "iot-certificate,endpoint=c1.credentials.iot.eu-west-1.amazonaws.com,cert-path=/c.pem,\
                               key-path=/k.pem,ca-path=/a.pem,role-aliases=viewer";

    fn set(properties: &[(&str, &str)]) -> CredentialProperties {
        gst::init().unwrap();
        let mut all = CredentialProperties::default();
        for (name, value) in properties {
            let value = match *name {
                "iot-certificate" => value.parse::<gst::Structure>().unwrap().to_value(),
                _ => value.to_value(),
            };
            assert_eq!(all.set(name, &value), Some(true), "{name}");
        }
        all
    }

    fn stream() -> Stream {
        Stream::parse("arn:aws:kinesisvideo:eu-west-1:123456789012:stream/door/1500000000000").unwrap()
    }

    fn source(properties: &[(&str, &str)]) -> Result<CredentialSource, CredentialSettingsError> {
        set(properties).source(&stream())
    }

    #[test]
    fn the_first_that_is_set_wins() {
        let all = [
            ("access-key", "AKIA"),
            ("secret-key", "hush"),
            ("credential-path", "/credential"),
            ("iot-certificate", CERTIFICATE),
            #[cfg(feature = "cognito")]
            ("cognito-identity-pool-id", "eu-west-1:0123-4567"),
            ("profile", "viewer"),
        ];
        let rest = |name: &str| {
            let from = all.iter().position(|(other, _)| *other == name).unwrap();
            source(&all[from..]).unwrap()
        };
        assert!(matches!(rest("access-key"), CredentialSource::Keys(_)));
        assert!(matches!(rest("credential-path"), CredentialSource::File(_)));
        assert!(matches!(rest("iot-certificate"), CredentialSource::Iot(_)));
        #[cfg(feature = "cognito")]
        assert!(matches!(rest("cognito-identity-pool-id"), CredentialSource::Cognito(_)));
        assert!(matches!(rest("profile"), CredentialSource::Profile(_)));
        assert!(matches!(source(&[]).unwrap(), CredentialSource::Default));
    }

    #[test]
    fn half_a_group_is_told_even_where_another_source_wins() {
        for properties in [
            &[("access-key", "AKIA")][..],
            &[("secret-key", "hush")],
            &[("session-token", "token")],
            &[("access-key", "AKIA"), ("session-token", "token")],
            #[cfg(feature = "cognito")]
            &[("cognito-login", "provider:token")],
            &[("role-session-name", "me")],
            &[("role-external-id", "me")],
        ] {
            let given = [properties, &[("credential-path", "/credential")]].concat();
            let error = set(&given).credentials(&stream()).unwrap_err();
            assert!(matches!(error, CredentialSettingsError::Half { .. }), "{error}");
            let text = error.to_string();
            assert!(!["AKIA", "hush", "token:", "provider"].iter().any(|secret| text.contains(secret)), "{text}");
        }
    }

    #[test]
    fn an_iot_certificate_is_read_as_kvssink_reads_it() {
        let read = |text: &str| source(&[("iot-certificate", text)]);
        let CredentialSource::Iot(certificate) = read(CERTIFICATE).unwrap() else { panic!() };
        assert_eq!(certificate.endpoint, "c1.credentials.iot.eu-west-1.amazonaws.com");
        assert_eq!(certificate.cert_path, PathBuf::from("/c.pem"));
        assert_eq!(certificate.key_path, PathBuf::from("/k.pem"));
        assert_eq!(certificate.ca_path, PathBuf::from("/a.pem"));
        assert_eq!(certificate.role_alias, "viewer");
        assert_eq!(certificate.thing_name, "door");

        let more = format!("{CERTIFICATE},iot-thing-name=gate,connection-timeout=3,completion-timeout=(string)7");
        let CredentialSource::Iot(certificate) = read(&more).unwrap() else { panic!() };
        assert_eq!(certificate.thing_name, "gate");
        let timeouts = (certificate.connection_timeout, certificate.completion_timeout);
        assert_eq!(timeouts, (Duration::from_secs(3), Duration::from_secs(7)));
    }

    #[test]
    fn what_is_wrong_with_an_iot_certificate_is_named() {
        for field in ["endpoint", "cert-path", "key-path", "ca-path", "role-aliases"] {
            let without: Vec<&str> = CERTIFICATE.split(',').filter(|part| !part.starts_with(field)).collect();
            let error = source(&[("iot-certificate", &without.join(","))]).unwrap_err();
            assert_eq!(error, CredentialSettingsError::IotField(field));
        }
        for (more, named) in [
            ("thing-name=gate", "thing-name"),
            ("iot-thing-name=(string)\"a b\"", "a b"),
            ("connection-timeout=soon", "soon"),
            ("completion-timeout=0", "completion-timeout"),
            ("role-aliases=(string)\"../x\"", "../x"),
            ("endpoint=(string)\"a/b\"", "a/b"),
        ] {
            let error = source(&[("iot-certificate", &format!("{CERTIFICATE},{more}"))]).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[cfg(feature = "cognito")]
    #[test]
    fn a_login_ends_at_its_last_colon() {
        let read = |login: &str| source(&[("cognito-identity-pool-id", "eu-west-1:0123"), ("cognito-login", login)]);
        for (login, provider) in [
            ("accounts.google.com:hush", "accounts.google.com"),
            ("arn:aws:iam::1:oidc-provider/x:hush", "arn:aws:iam::1:oidc-provider/x"),
        ] {
            let CredentialSource::Cognito(identity) = read(login).unwrap() else { panic!() };
            assert_eq!(identity.login, Some((provider.to_owned(), "hush".to_owned())));
            assert!(!format!("{identity:?}").contains("hush"));
        }
        for login in ["hush", ":hush", "accounts.google.com:"] {
            let error = read(login).unwrap_err();
            assert_eq!(error, CredentialSettingsError::Login);
        }
        for pool in ["eu-west-1", ":", "eu-west-1:a/b", "a.b:c"] {
            let error = source(&[("cognito-identity-pool-id", pool)]).unwrap_err();
            assert_eq!(error, CredentialSettingsError::Pool(pool.to_owned()));
        }
    }

    #[test]
    fn a_role_is_an_arn() {
        let role = |arn: &str| set(&[("role-arn", arn), ("role-external-id", "7")]).role();
        for arn in ["arn:aws:iam::123456789012:role/viewer", "arn:aws-cn:iam::123456789012:role/path/viewer"] {
            assert_eq!(role(arn).unwrap().unwrap().arn, arn);
        }
        for arn in ["viewer", "arn:aws:iam::123456789012:user/viewer", "arn:aws:iam::role/x"] {
            assert_eq!(role(arn), Err(CredentialSettingsError::Role(arn.to_owned())));
        }
    }

    #[test]
    fn secrets_cannot_be_read() {
        let all = [
            ("access-key", "AKIA"),
            ("secret-key", "hush"),
            ("session-token", "hushtoken"),
            #[cfg(feature = "cognito")]
            ("cognito-login", "provider:hushlogin"),
        ];
        let properties = CredentialProperties::properties();
        let given = set(&all);
        for (name, _) in all {
            let property = properties.iter().find(|property| property.name() == name).unwrap();
            assert!(!property.flags().contains(glib::ParamFlags::READABLE), "{name}");
            assert!(given.get(name).is_none(), "{name}");
        }
        for property in properties.iter().filter(|property| property.flags().contains(glib::ParamFlags::READABLE)) {
            assert!(given.get(property.name()).is_some(), "{}", property.name());
        }
        let text = format!("{:?}", set(&all[..3]).credentials(&stream()));
        assert!(text.contains("Keys") && !["AKIA", "hush"].iter().any(|secret| text.contains(secret)), "{text}");
    }

    #[test]
    fn credentials_are_the_same_until_a_property_is_set() {
        let mut properties = set(&[("profile", "viewer")]);
        let role = |properties: &CredentialProperties| format!("{:?}", properties.credentials(&stream()).unwrap());
        let before = role(&properties);
        assert_eq!(properties.set("profile", &"other".to_value()), Some(true));
        assert_eq!(role(&properties), before, "kept until they are let go of");
        properties.forget();
        assert!(role(&properties).contains("other"));
    }
}
