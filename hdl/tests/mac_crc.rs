mod common;
use common::dut;
use toe_hdl::mac::{rx::XgmiiRx, tx::XgmiiTx};
#[test]
fn builds() {
    dut("xgmii_rx", XgmiiRx::default());
    dut("xgmii_tx", XgmiiTx::default());
}
