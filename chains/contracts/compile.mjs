// Compiles the contracts of this folder: node compile.mjs OUT [test]
// Writes OUT/<Name>.json {abi, bytecode, deployedBytecode, immutables, sha}; with `test`, the attack contracts instead.
// Needs solc and @openzeppelin/contracts as pinned in package.json below $NODE_MODULES (default: node_modules here).
import fs from 'fs';
import path from 'path';
import { createHash } from 'crypto';
import { createRequire } from 'module';
import { fileURLToPath } from 'url';

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = path.resolve(process.env.NODE_MODULES || path.join(here, 'node_modules'));
const solc = createRequire(path.join(modules, 'x.js'))('solc');
const [out, which] = process.argv.slice(2);

const TIMELOCK = '@openzeppelin/contracts/governance/TimelockController.sol';
const WANTED = {
  src: ['AccountFactory', 'CreditLine', 'Installer', 'MarginGuard', 'MarginModule', 'ModuleFence', 'PrimeHandler',
    'RuleBook', 'TimelockController'],
  test: ['Drainer', 'HiddenModule', 'ScriptedFeed', 'SignedDollar'],
};

const sources = {};
for (const folder of which === 'test' ? ['test'] : ['src']) {
  for (const file of fs.readdirSync(path.join(here, folder)).filter((f) => f.endsWith('.sol')).sort()) {
    sources[`${folder}/${file}`] = { content: fs.readFileSync(path.join(here, folder, file), 'utf8') };
  }
}
if (which !== 'test') sources[TIMELOCK] = { content: fs.readFileSync(path.join(modules, TIMELOCK), 'utf8') };

const settings = {
  viaIR: true,
  evmVersion: 'cancun', // the youngest that every network we name runs
  optimizer: { enabled: true, runs: 10000 },
  metadata: { appendCBOR: false, bytecodeHash: 'none' }, // the code alone, so that a rebuild compares byte for byte
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode'] } },
};
const found = (name) => {
  const file = path.join(modules, name);
  return fs.existsSync(file) ? { contents: fs.readFileSync(file, 'utf8') } : { error: `not found: ${name}` };
};
const input = JSON.stringify({ language: 'Solidity', sources, settings });
const result = JSON.parse(solc.compile(input, { import: found }));
// A warning about our own code is an error; OpenZeppelin's transient storage draws one that is known.
const faults = (result.errors || []).filter((e) => e.severity === 'error' || !/^@/.test(e.sourceLocation?.file || ''));
for (const e of faults) console.error(e.formattedMessage);
if (faults.length) process.exit(1);

fs.mkdirSync(out, { recursive: true });
for (const file of Object.values(result.contracts)) {
  for (const [name, c] of Object.entries(file)) {
    if (!WANTED[which === 'test' ? 'test' : 'src'].includes(name)) continue;
    const bytecode = `0x${c.evm.bytecode.object}`;
    const deployed = c.evm.deployedBytecode;
    const immutables = Object.values(deployed.immutableReferences || {}).flat()
      .map((r) => [r.start, r.length]).sort((a, b) => a[0] - b[0]);
    const sha = createHash('sha256').update(Buffer.from(c.evm.bytecode.object, 'hex')).digest('hex');
    const artifact = { abi: c.abi, bytecode, deployedBytecode: `0x${deployed.object}`, immutables, sha };
    fs.writeFileSync(path.join(out, `${name}.json`), `${JSON.stringify(artifact)}\n`);
    console.log(name, deployed.object.length / 2);
  }
}
