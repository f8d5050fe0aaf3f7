//! What matroskademux makes of a file.

use std::path::Path;
use std::sync::{Arc, Mutex};

use gst::prelude::*;

/// One source pad of matroskademux.
pub struct Output {
    pub caps: gst::Caps,
    /// Every buffer, headers too.
    pub buffers: Vec<Vec<u8>>,
}

/// Demuxes a file to its end: a pad for each track, in the order of the tracks.
pub fn demux(path: &Path) -> Vec<Output> {
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("filesrc").property("location", path).build().expect("filesrc");
    let demuxer = gst::ElementFactory::make("matroskademux")
        .build()
        .expect("matroskademux is missing: install gstreamer1.0-plugins-good");
    pipeline.add_many([&source, &demuxer]).expect("new elements");
    source.link(&demuxer).expect("filesrc links to anything");

    let outputs: Arc<Mutex<Vec<Output>>> = Arc::default();
    let (weak, list) = (pipeline.downgrade(), outputs.clone());
    demuxer.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().expect("matroskademux sets caps before it adds a pad");
        let index = {
            let mut outputs = list.lock().expect("no thread panicked");
            outputs.push(Output { caps, buffers: Vec::new() });
            outputs.len() - 1
        };
        let list = list.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                let bytes = buffer.map_readable().expect("readable buffer").to_vec();
                list.lock().expect("no thread panicked")[index].buffers.push(bytes);
            }
            gst::PadProbeReturn::Ok
        });
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .property("async", false)
            .build()
            .expect("fakesink");
        weak.upgrade().expect("the pipeline runs").add(&sink).expect("new element");
        sink.sync_state_with_parent().expect("fakesink starts");
        pad.link(&sink.static_pad("sink").expect("sink pad")).expect("fakesink takes anything");
    });
    run(&pipeline);
    // The closure above still holds the list until the pipeline is gone.
    std::mem::take(&mut *outputs.lock().expect("no thread panicked"))
}

/// Runs a pipeline until EOS.
pub fn run(pipeline: &gst::Pipeline) {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    pipeline.set_state(gst::State::Playing).expect("pipeline starts");
    let message = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(120), &[gst::MessageType::Eos, gst::MessageType::Error])
        .expect("EOS within two minutes");
    pipeline.set_state(gst::State::Null).expect("pipeline stops");
    if let gst::MessageView::Error(error) = message.view() {
        panic!("{}: {:?}", error.error(), error.debug());
    }
}
