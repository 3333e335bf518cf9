// Technology cells for ECP5: adders whose operands are made in the lookup tables of their own carry
// cells. Such a table is p(A, B, C, D), the sum but for the carry; what goes on as carry where p is 0
// is its value at C = D = 0, one summand. So that must be A and B's: here A & B.
module lamina_add_gated #(parameter WIDTH = 2)
    (input a_on, b_on, input [WIDTH-2:0] a, b, output [WIDTH-1:0] y);
  // (A & B) ^ (C & D)
  lamina_carry_cells #(.WIDTH(WIDTH), .TABLE(16'h7888)) chain
      (.a(a), .a_on(a_on), .b(b), .control(b_on), .y(y));
endmodule

module lamina_add_inverted #(parameter WIDTH = 2)
    (input a_on, invert, input [WIDTH-2:0] a, b, output [WIDTH-1:0] y);
  // (A & B) ^ C ^ D
  lamina_carry_cells #(.WIDTH(WIDTH), .TABLE(16'h8778)) chain
      (.a(a), .a_on(a_on), .b(b), .control(invert), .y(y));
endmodule

module lamina_carry_cells #(parameter WIDTH = 2, TABLE = 16'h0000)
    (input a_on, control, input [WIDTH-2:0] a, b, output [WIDTH-1:0] y);
  localparam CELLS = WIDTH / 2;
  // The sign, once more: for the top bit of the sum.
  wire [WIDTH-1:0] first = {a[WIDTH-2], a}, second = {b[WIDTH-2], b};
  wire [CELLS:0] carry;
  assign carry[0] = 1'b0;
  genvar i;
  generate for (i = 0; i < CELLS; i = i + 1) begin : cells
    CCU2C #(.INIT0(TABLE), .INIT1(TABLE), .INJECT1_0("NO"), .INJECT1_1("NO")) two
        (.CIN(carry[i]), .COUT(carry[i+1]),
         .A0(first[2*i]), .B0(a_on), .C0(second[2*i]), .D0(control), .S0(y[2*i]),
         .A1(first[2*i+1]), .B1(a_on), .C1(second[2*i+1]), .D1(control), .S1(y[2*i+1]));
  end
  // A cell has two bits. Where that is one too many, the top one follows from that below: of
  // operands with different signs the sum is not too large for it.
  if (WIDTH % 2) begin : top
    localparam [15:0] SUM = TABLE;
    wire differ = SUM[{control, b[WIDTH-2], a_on, a[WIDTH-2]}];
    assign y[WIDTH-1] = differ ? y[WIDTH-2] : a[WIDTH-2] & a_on;
  end endgenerate
endmodule
