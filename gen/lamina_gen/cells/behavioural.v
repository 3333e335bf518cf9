// Technology cells, behavioural: for simulation and for flows that bring no cells of their own.
module lamina_full_adder #(parameter WIDTH = 1)
    (input [WIDTH-1:0] a, b, c, output [WIDTH-1:0] sum, carry);
  assign sum = a ^ b ^ c;
  assign carry = (a & b) | (c & (a ^ b));
endmodule

module lamina_half_adder #(parameter WIDTH = 1)
    (input [WIDTH-1:0] a, b, output [WIDTH-1:0] sum, carry);
  assign sum = a ^ b;
  assign carry = a & b;
endmodule

// The one select of each pair that is set chooses its value; inverted as the AOI222 gate is.
module lamina_and_or_select #(parameter WIDTH = 1)
    (input s0, s1, s2, input [WIDTH-1:0] v0, v1, v2, output [WIDTH-1:0] y);
  assign y = ~(({WIDTH{s0}} & v0) | ({WIDTH{s1}} & v1) | ({WIDTH{s2}} & v2));
endmodule

// Signed operands, a sum of one bit more.
module lamina_add_gated #(parameter WIDTH = 2)
    (input a_on, b_on, input [WIDTH-2:0] a, b, output [WIDTH-1:0] y);
  assign y = ({a[WIDTH-2], a} & {WIDTH{a_on}}) + ({b[WIDTH-2], b} & {WIDTH{b_on}});
endmodule

module lamina_add_inverted #(parameter WIDTH = 2)
    (input a_on, invert, input [WIDTH-2:0] a, b, output [WIDTH-1:0] y);
  assign y = ({a[WIDTH-2], a} & {WIDTH{a_on}}) + ({b[WIDTH-2], b} ^ {WIDTH{invert}});
endmodule
