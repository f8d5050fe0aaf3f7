//! The `services` sections of the AWS shared files, by the names that AWS documents.

use std::fmt;

use aws_config::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// Reads a service's settings by the documented name of its section, such as `kinesis_video`, and else by the one that
/// the SDK for Rust reads: `kinesis-video`. See
/// [service-specific endpoints](https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html).
pub(super) struct Documented(SdkConfig);

impl Documented {
    /// On top of what this configuration reads by itself.
    pub fn new(config: &SdkConfig) -> Self {
        Self(config.clone())
    }

    fn read(&self, service_id: &str, key: &ServiceConfigKey<'_>) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id(service_id).env(key.env()).profile(key.profile()).build();
        self.0.service_config()?.load_config(key.ok()?)
    }
}

impl LoadServiceConfig for Documented {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        // The SDK asks the environment, the service's section and the profile, one after the other. A service without a
        // name has no section: what is found for it comes from the others.
        let of_all = self.read("", &key);
        // The SDK replaces spaces: by `_` in the environment, by `-` in a section. What has none stays as it is.
        let documented = self.read(&key.service_id().replace(' ', "_"), &key);
        if documented == of_all { self.read(key.service_id(), &key) } else { documented }
    }
}

impl fmt::Debug for Documented {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Documented(..)")
    }
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;
    use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};

    use super::*;

    async fn endpoint(sections: &str) -> Option<String> {
        let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, sections).build();
        let config = aws_config::defaults(BehaviorVersion::latest()).profile_files(files).no_credentials().load().await;
        let key = ServiceConfigKey::builder().service_id("Kinesis Video").env("KVS_TEST_UNSET").profile("endpoint_url");
        Documented::new(&config).load_config(key.build().unwrap())
    }

    #[tokio::test]
    async fn a_section_counts_by_either_name_and_before_the_profile() {
        let profile = "[default]\nregion = us-west-2\nservices = mine\n";
        let all = "endpoint_url = http://all\n";
        let (documented, read) =
            ("kinesis_video =\n  endpoint_url = http://a\n", "kinesis-video =\n  endpoint_url = http://b\n");
        let other = "kinesis_video_media =\n  endpoint_url = http://c\n";
        for (profile, section, wanted) in [
            (profile.to_owned(), documented.to_owned(), Some("http://a")),
            (profile.to_owned(), read.to_owned(), Some("http://b")),
            (profile.to_owned(), format!("{read}{documented}"), Some("http://a")),
            (format!("{profile}{all}"), documented.to_owned(), Some("http://a")),
            (format!("{profile}{all}"), read.to_owned(), Some("http://b")),
            (format!("{profile}{all}"), other.to_owned(), Some("http://all")),
            (profile.to_owned(), other.to_owned(), None),
            (format!("[default]\n{all}"), documented.to_owned(), Some("http://all")),
        ] {
            let sections = format!("{profile}[services mine]\n{section}");
            assert_eq!(endpoint(&sections).await.as_deref(), wanted, "{sections}");
        }
    }
}
