"""What runs next to, and as, an untrusted program: a few processes of the standard library alone.

    caller (trainer, grader worker)
      └ keeper     outside the walls; carries data in and out, watches clocks and memory, never looks into the data
          └ builder   builds the walls: namespaces, a read-only root; then waits
              └ zygote    init of the outer pid namespace; forks one house per run, never sees a run's data
                  └ house     init of the run's own pid namespace; lays out the folder, reports how the program ended
                      └ program   the untrusted one: no capabilities, limits, a system-call filter

Only the program is hostile. The keeper is not reachable from inside; zygote and house hold no other run's data.
"""
