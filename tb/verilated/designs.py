"""Small hand-written modules with their descriptions: what the bulk driver is tested on.

None comes from the generator, so that a mistake in one does not hide a mistake in the other.
"""

import json

CLOCKED = "input clk, input rst"


def bits(width, signed=False):
    return {"kind": "bits", "width": width, "signed": signed}


def struct(**fields):
    """Fields without gaps, the first one lowest."""
    members, offset = [], 0
    for name, shape in fields.items():
        members.append({"name": name, "offset": offset, "shape": shape})
        offset += shape["width"]
    return {"kind": "struct", "width": offset, "fields": members}


def array(element, length, stride=None):
    stride = element["width"] if stride is None else stride
    width = stride * length
    kind = {"kind": "array", "width": width, "length": length, "stride": stride}
    return {**kind, "element": element}


def stream(name, direction, shape):
    signals = {"valid": f"{name}__valid", "ready": f"{name}__ready"}
    signals["payload"] = f"{name}__payload" if shape["width"] else None
    return {
        "name": name,
        "kind": "stream",
        "direction": direction,
        "shape": shape,
        "signals": signals,
    }


def plain(name, direction, shape):
    signals = {"value": name if shape["width"] else None}
    return {
        "name": name,
        "kind": "signal",
        "direction": direction,
        "shape": shape,
        "signals": signals,
    }


def declare(name, direction, width):
    """Verilog port list of a stream."""
    back = {"input": "output", "output": "input"}[direction]
    payload = f"{direction} [{width - 1}:0] {name}__payload, " if width else ""
    return f"{payload}{direction} {name}__valid, {back} {name}__ready"


def write(folder, top, verilog, ports, waivers=""):
    """Write MODULE.v, MODULE.json and MODULE.vlt; return the path of the JSON."""
    description = {"lamina": "0.1.0", "module": top, "top": top, "parameters": {}}
    description |= {"clock": "clk", "reset": "rst", "ports": ports}
    (folder / f"{top}.v").write_text(verilog)
    (folder / f"{top}.json").write_text(json.dumps(description))
    (folder / f"{top}.vlt").unlink(missing_ok=True)
    if waivers:
        (folder / f"{top}.vlt").write_text(waivers)
    return folder / f"{top}.json"


PAIR = struct(a=bits(16, signed=True), b=bits(13))

#: sum = a + b + bias, one cycle later; `count` counts the sums given since reset.
ADDER = (
    f"""
module adder({CLOCKED}, {declare("i", "input", 29)}, {declare("o", "output", 18)},
             input signed [17:0] bias, output reg [63:0] count);
  reg valid = 1'h0;
  reg signed [17:0] sum = 18'h00000;
  assign o__valid = valid;
  assign o__payload = sum;
  assign i__ready = o__ready | ~valid;
  always @(posedge clk) begin
    if (i__ready) begin
      valid <= i__valid;
      sum <= $signed(i__payload[15:0]) + $signed({{5'b0, i__payload[28:16]}}) + bias;
    end
    if (o__valid & o__ready) count <= count + 1;
    if (rst) begin valid <= 0; count <= 0; end
  end
endmodule
""",
    [
        stream("i", "in", PAIR),
        stream("o", "out", bits(18, signed=True)),
        plain("bias", "in", bits(18, signed=True)),
        plain("count", "out", bits(64)),
    ],
)

#: 2,048 bits inverted and turned left by 40.
WIDE = (
    f"""
module wide({CLOCKED}, {declare("i", "input", 2048)}, {declare("o", "output", 2048)});
  reg valid;
  reg [2047:0] turned;
  assign o__valid = valid;
  assign o__payload = turned;
  assign i__ready = o__ready | ~valid;
  always @(posedge clk) begin
    if (i__ready) begin
      valid <= i__valid;
      turned <= ~{{i__payload[2007:0], i__payload[2047:2008]}};
    end
    if (rst) valid <= 0;
  end
endmodule
""",
    [stream("i", "in", bits(2048)), stream("o", "out", bits(2048))],
)

#: Beats without payload in; every second one leaves as a beat without payload.
HALVE = (
    f"""
module halve({CLOCKED}, {declare("i", "input", 0)}, {declare("o", "output", 0)});
  reg odd = 1'h0;
  assign o__valid = i__valid & odd;
  assign i__ready = o__ready | ~odd;
  always @(posedge clk)
    if (rst) odd <= 0;
    else if (i__valid & i__ready) odd <= ~odd;
endmodule
""",
    [stream("i", "in", bits(0)), stream("o", "out", bits(0))],
)

#: Takes five beats and no more.
STUCK = (
    f"""
module stuck({CLOCKED}, {declare("i_data", "input", 8)}, {declare("o", "output", 8)});
  reg [2:0] taken = 3'h0;
  assign i_data__ready = o__ready & (taken != 5);
  assign o__valid = i_data__valid & (taken != 5);
  assign o__payload = i_data__payload;
  always @(posedge clk)
    if (rst) taken <= 0;
    else if (i_data__valid & i_data__ready) taken <= taken + 1;
endmodule
""",
    [stream("i_data", "in", bits(8)), stream("o", "out", bits(8))],
)

#: Adds up payloads: with the parameters right, or without looking at valid, or without reset.
SUM = (
    """
module %(top)s(input clk, input rst, input [31:0] i__payload, input i__valid, output i__ready,
               output [31:0] o__payload, output o__valid, input o__ready);
  reg [31:0] sum = 32'h00000000;
  assign i__ready = o__ready;
  assign o__valid = i__valid;
  assign o__payload = sum;
  always @(posedge clk) begin
    if (%(take)s) sum <= sum + i__payload;
    if (%(reset)s) sum <= 0;
  end
endmodule
""",
    [stream("i", "in", bits(32)), stream("o", "out", bits(32))],
)

#: A source that breaks the contract: counts while stalled, or gives up valid.
RUDE = (
    """
module %(top)s(input clk, input rst, output [7:0] o__payload, output o__valid, input o__ready);
  reg [7:0] count;
  assign o__payload = %(payload)s;
  assign o__valid = %(valid)s;
  always @(posedge clk) if (rst) count <= 0; else count <= count + 1;
endmodule
""",
    [stream("o", "out", bits(8))],
)

REQUEST = struct(address=bits(32), id=bits(2), length=bits(8))
ANSWER = struct(data=array(bits(8), 64), id=bits(2), response=bits(2), last=bits(1))

AXI_READ = ("arid", "araddr", "arlen", "arsize", "arburst", "arvalid", "arready")
AXI_READ += ("rid", "rdata", "rresp", "rlast", "rvalid", "rready")

#: AR is the stream i, R the stream o: the test decides what is asked, and sees what is answered.
READER = (
    f"""
module reader({CLOCKED}, {declare("i", "input", 42)}, {declare("o", "output", 517)},
  output [1:0] m_axi_arid, output [31:0] m_axi_araddr, output [7:0] m_axi_arlen,
  output [2:0] m_axi_arsize, output [1:0] m_axi_arburst, output m_axi_arvalid, input m_axi_arready,
  input [1:0] m_axi_rid, input [511:0] m_axi_rdata, input [1:0] m_axi_rresp, input m_axi_rlast,
  input m_axi_rvalid, output m_axi_rready);
  assign {{m_axi_arlen, m_axi_arid, m_axi_araddr}} = i__payload;
  assign m_axi_arsize = 6;
  assign m_axi_arburst = 1;
  assign m_axi_arvalid = i__valid;
  assign i__ready = m_axi_arready;
  assign o__payload = {{m_axi_rlast, m_axi_rresp, m_axi_rid, m_axi_rdata}};
  assign o__valid = m_axi_rvalid;
  assign m_axi_rready = o__ready;
endmodule
""",
    [
        stream("i", "in", REQUEST),
        stream("o", "out", ANSWER),
        {
            "name": "m_axi",
            "kind": "axi4-read",
            "direction": "out",
            "address_width": 32,
            "data_width": 512,
            "id_width": 2,
            "signals": {pin: f"m_axi_{pin}" for pin in AXI_READ},
        },
    ],
)

#: A plain input of 100 bits, structured, through four instances of one block to a plain output.
BLOCKS = (
    f"""
module step({CLOCKED}, input [99:0] a, output reg [99:0] q);
  always @(posedge clk) if (rst) q <= 0; else q <= a + 1;
endmodule
module blocks({CLOCKED}, input [99:0] a, output [99:0] q);
  wire [99:0] w [0:4];
  assign w[0] = a;
  assign q = w[4];
  genvar n;
  generate for (n = 0; n < 4; n = n + 1) begin : chain
    step s(.clk(clk), .rst(rst), .a(w[n]), .q(w[n + 1]));
  end endgenerate
endmodule
""",
    [plain("a", "in", bits(100)), plain("q", "out", bits(100))],
)
