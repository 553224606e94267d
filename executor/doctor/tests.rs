use super::*;
use simgpu::{Board, Fault, GpuSetup, Kind, Node};

#[test]
fn each_gpu_has_a_line_and_what_is_odd_is_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    let boards = [GpuSetup::new(Board::V100), GpuSetup::new(Board::A40), GpuSetup::new(Board::A40)];
    let node = Node::make_live(&dir.path().join("sim"), &boards).expect("a node");
    node.gpu(1).script(Fault::new(Kind::CounterUnsupported, 0));
    node.gpu(2).script(Fault::new(Kind::Controller, 200_000));
    let mut config = Config::new("here".to_owned(), dir.path().join("run"), "/bin/true".into());
    config.nvml_lib_typed = Some(node.library().expect("built"));
    let lines: Vec<_> = examine(&config).into_iter().filter(|finding| finding.topic == "gpu").collect();
    let [plain, uncounted, held] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(plain.level, Level::Ok);
    assert!(plain.text.contains("limit 250 W (100 W to 250 W), metered by nvml_energy"), "{}", plain.text);
    assert!(uncounted.level == Level::Warn && uncounted.text.contains("no energy counter"), "{}", uncounted.text);
    assert!(held.text.contains("limit 200 W") && held.text.contains("asked for 300 W"), "{}", held.text);
}
