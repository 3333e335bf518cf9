// Binds one Verilated model to the driver. LAMINA_HEADER, LAMINA_TOP and LAMINA_SIGNALS come from
// ports.h, which build.py writes from MODULE.json.
#include "driver.h"
#include "ports.h"
#include LAMINA_HEADER
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

class Bound final : public lamina::Model {
public:
    Bound(uint64_t seed, bool random_initial, const char* trace) {
        context_.randReset(random_initial ? 2 : 0);
        context_.randSeed(static_cast<int>(seed));
#if VM_TRACE
        if (trace) context_.traceEverOn(true);
#endif
        top_ = std::make_unique<LAMINA_TOP>(&context_, "top");
#if VM_TRACE
        if (trace) {
            trace_ = std::make_unique<VerilatedVcdC>();
            top_->trace(trace_.get(), 99);
            trace_->open(trace);
        }
#endif
    }

    ~Bound() override {
#if VM_TRACE
        if (trace_) trace_->close();
#endif
        top_->final();
    }

    std::vector<lamina::Signal> signals() override {
#define LAMINA_BIND(name) {&top_->name, sizeof top_->name},
        return {LAMINA_SIGNALS(LAMINA_BIND)};
    }

    void eval() override { top_->eval(); }

    void dump() override {
#if VM_TRACE
        if (trace_) trace_->dump(context_.time());
        context_.timeInc(5);
#endif
    }

private:
    VerilatedContext context_;
    std::unique_ptr<LAMINA_TOP> top_;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace_;
#endif
};

}  // namespace

lamina::Model* lamina::create_model(uint64_t seed, bool random_initial, const char* trace) {
    return new Bound(seed, random_initial, trace);
}
