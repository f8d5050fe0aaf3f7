//! kvssrc in real pipelines, against the emulator over real sockets.

mod body;
mod chain;
mod changes;
mod checkpoint;
mod credentials;
mod elementary;
mod errors;
mod faults;
mod fragment_meta;
mod gaps;
mod judges;
mod lines;
mod live;
mod loss;
mod range;
mod relay;
mod secrets;
mod shutdown;
mod support;
mod time;
mod track_caps;
mod transport;
mod uri;
