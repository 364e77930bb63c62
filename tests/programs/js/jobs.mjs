// Runs one of a program's jobs: `node PROGRAM JOB PORT`. Without a job it prints the names of all.

export async function run(jobs) {
  const [name, port] = process.argv.slice(2);
  if (name === undefined) {
    console.log(Object.keys(jobs).join("\n"));
    return;
  }
  await jobs[name](Number(port));
  console.log(`${name} is done`);
}

// Resolves as soon as `condition` holds; the caller's deadline ends the process when it never does.
export async function until(condition) {
  while (!(await condition())) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// The port of whoever answers INFO.
export function portOf(info) {
  return Number(/tcp_port:(\d+)/.exec(info)[1]);
}
