//! kvssrc in real pipelines, against the emulator over real sockets.

mod announcements;
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
mod logs;
mod loss;
mod progress;
mod queries;
mod range;
mod relay;
mod secrets;
mod shutdown;
mod statistics;
mod support;
mod time;
mod transport;
