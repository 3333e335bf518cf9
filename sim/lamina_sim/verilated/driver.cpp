// The C interface of the driver, called by library.py through ctypes. Pointers that a caller hands
// in (rows, memory, error ranges) must outlive the simulation.
#include "simulation.h"

#define LAMINA_API extern "C" __attribute__((visibility("default")))

using namespace lamina;

LAMINA_API Simulation* lamina_open(uint64_t seed, int random_initial, const char* trace, int clock,
                                   int reset, const Schedule* schedule) {
    return new Simulation(create_model(seed, random_initial, trace), clock, reset, *schedule);
}

LAMINA_API void lamina_close(Simulation* simulation) { delete simulation; }

LAMINA_API void lamina_set(Simulation* simulation, int signal, const uint32_t* row,
                           uint32_t words) {
    simulation->signal(signal).load(row, words);
}

LAMINA_API void lamina_get(Simulation* simulation, int signal, uint32_t* row, uint32_t words) {
    simulation->signal(signal).store(row, words);
}

static StreamSignals stream(const Simulation* simulation, const int* signals, uint32_t width) {
    return {simulation->signal(signals[0]), simulation->signal(signals[1]),
            simulation->signal(signals[2]), width};
}

LAMINA_API void lamina_input(Simulation* simulation, const int* signals, uint32_t width,
                             const uint32_t* rows, int64_t count, uint64_t stall, uint64_t seed,
                             uint64_t channel) {
    simulation->inputs.push_back(std::make_unique<InputStream>(
        stream(simulation, signals, width), rows, count, stall, Random(seed, channel)));
}

LAMINA_API void lamina_output(Simulation* simulation, const char* name, const int* signals,
                              uint32_t width, int64_t limit, uint64_t stall, uint64_t seed,
                              uint64_t channel) {
    simulation->outputs.push_back(std::make_unique<OutputStream>(
        name, stream(simulation, signals, width), limit, stall, Random(seed, channel)));
}

LAMINA_API void lamina_axi_read(Simulation* simulation, const char* name, const int* signals,
                                const MemorySettings* settings, uint64_t seed, uint64_t channel) {
    constexpr int count = sizeof(AxiReadSignals) / sizeof(Signal);
    Signal bound[count];
    for (int i = 0; i < count; ++i) bound[i] = simulation->signal(signals[i]);
    AxiReadSignals group;
    std::memcpy(static_cast<void*>(&group), bound, sizeof group);
    simulation->memories.push_back(std::make_unique<AxiReadMemory>(
        name, group, *settings, Random(seed, channel), Random(seed, channel + 1)));
}

LAMINA_API int lamina_run(Simulation* simulation, int64_t cycles) {
    try {
        return static_cast<int>(simulation->run(cycles));
    } catch (const std::exception& error) {
        simulation->message = error.what();
        return static_cast<int>(Status::kError);
    }
}

// For callers that step by themselves: inputs set, then settled, outputs read, then the edge.
LAMINA_API void lamina_settle(Simulation* simulation) { simulation->settle(); }

LAMINA_API void lamina_edge(Simulation* simulation) { simulation->edge(); }

LAMINA_API const char* lamina_message(Simulation* simulation) {
    return simulation->message.c_str();
}

LAMINA_API int64_t lamina_cycle(Simulation* simulation) { return simulation->cycle(); }

LAMINA_API int64_t lamina_last_transfer(Simulation* simulation) {
    return simulation->last_transfer();
}

LAMINA_API int64_t lamina_input_cycles(Simulation* simulation, int port, const int64_t** cycles) {
    *cycles = simulation->inputs.at(port)->cycles.data();
    return simulation->inputs.at(port)->cycles.size();
}

LAMINA_API int64_t lamina_output_rows(Simulation* simulation, int port, const uint32_t** rows,
                                      const int64_t** cycles) {
    const OutputStream& stream = *simulation->outputs.at(port);
    *rows = stream.rows.data();
    *cycles = stream.cycles.data();
    return stream.cycles.size();
}

LAMINA_API int64_t lamina_traffic(Simulation* simulation, int port, Traffic* traffic,
                                  const uint64_t** addresses, const int64_t** lengths) {
    const AxiReadMemory& memory = *simulation->memories.at(port);
    *traffic = memory.traffic;
    *addresses = memory.addresses.data();
    *lengths = memory.lengths.data();
    return memory.addresses.size();
}
